/**
 * A stand-in for KurrentDB as a process of its own, for the real client of the services: what test/support/ has in memory,
 * over gRPC, and as slow as a real one. Its parent is sent its URL, and it ends with its parent.
 *
 *   service ──the client──▶ gRPC ──▶ a wait ──▶ KurrentDbStandIn
 *
 * All times were measured on KurrentDB 26.1.0, one node, durable, on a machine with two cores.
 */
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type AppendStreamRequest, jsonEvent, WrongExpectedVersionError } from '@kurrent/kurrentdb-client';
import features from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/serverfeatures_pb.js';
import shared from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/shared_pb.js';
import status from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/status_pb.js';
import v1 from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_pb.js';
import errors from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v2/streams/errors_pb.js';
import v2 from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v2/streams/streams_pb.js';
import any from 'google-protobuf/google/protobuf/any_pb.js';
import empty from 'google-protobuf/google/protobuf/empty_pb.js';
import { firstAfter, KurrentDbStandIn, type Stored } from '../../../test/support/kurrentdb-stand-in.js';
import { type Call, CallFailed, FAILED_PRECONDITION, grpcServer } from './grpc.js';

/** How long an append takes (p50, ms) that is alone: of one event, and of two events each to so many streams. */
const ONE_EVENT_MS = 4;
const APPEND_MS = [
  [1, 6],
  [3, 10],
  [10, 15],
  [30, 25],
  [64, 38],
] as const;
/** An event is seen live 1 to 4 ms after its append. */
const LIVE_MS = 1;
/** A read that goes alone over a connection, and one that goes with others (ms). */
const LONE_READ_MS = 43;
const READ_MS = 3;
/** What the way here and back takes by itself (ms), and with an append to several streams, for each of them. */
const WAY_MS = 1;
const SESSION_MS = 2;
const SESSION_STREAM_MS = 0.125;

const NO_STREAM = -1n;
const TICKS_PER_MS = 10_000;

type ReadOptions = InstanceType<typeof v1.ReadReq.Options>;

const server = new KurrentDbStandIn();
/** The reads that are under way, by connection, and what wakes one that goes alone when another one comes. */
const reading = new WeakMap<object, { count: number; joined: AbortController }>();

const grpc = grpcServer({
  '/event_store.client.server_features.ServerFeatures/GetSupportedMethods': async ({ send }) => {
    const supported = new features.SupportedMethods().setEventStoreServerVersion(server.version);
    for (const [service, ...methods] of SUPPORTED) {
      for (const method of methods) {
        supported.addMethods(new features.SupportedMethod().setServiceName(service).setMethodName(method));
      }
    }
    await send(supported.serializeBinary());
  },

  '/event_store.client.streams.Streams/Read': async (call) => {
    const options = v1.ReadReq.deserializeBinary((await call.requests.next()).value as Uint8Array).getOptions()!;
    if (options.hasSubscription()) await subscribe(call, options);
    else await read(call, options);
  },

  // A connection has one such call, with many appends on it, which do not wait for each other.
  '/event_store.client.streams.Streams/BatchAppend': async ({ requests, send }) => {
    for (let next = await requests.next(); !next.done; next = await requests.next()) {
      void appendToStream(v1.BatchAppendReq.deserializeBinary(next.value)).then(send);
    }
  },

  '/kurrentdb.protocol.v2.streams.StreamsService/AppendSession': async ({ requests, send }) => {
    const writes: AppendStreamRequest[] = [];
    for (let next = await requests.next(); !next.done; next = await requests.next()) {
      writes.push(requestOf(v2.AppendRequest.deserializeBinary(next.value)));
    }
    await sleep(appendMs(writes) - SESSION_MS - SESSION_STREAM_MS * writes.length);
    try {
      const position = server.append(writes);
      await send(new v2.AppendSessionResponse().setPosition(`${position}`).serializeBinary());
    } catch (error) {
      if (!(error instanceof WrongExpectedVersionError)) throw error;
      const { streamName, expectedState, actualState } = error;
      const conflict = new errors.StreamRevisionConflictErrorDetails()
        .setStream(streamName)
        .setExpectedRevision(`${numberOf(expectedState)}`)
        .setActualRevision(`${numberOf(actualState)}`);
      const details = statusWith(conflict.serializeBinary(), 'kurrentdb.StreamRevisionConflictErrorDetails');
      throw new CallFailed(FAILED_PRECONDITION, 'Revision conflict.', details.serializeBinary());
    }
  },
});

const SUPPORTED = [
  ['event_store.client.streams.streams', 'read', 'append', 'batchappend'],
  ['kurrentdb.protocol.v2.streams.streamsservice', 'appendsession'],
] as const;

/** By the number of streams, on the lines between what was measured. */
function appendMs(writes: readonly AppendStreamRequest[]): number {
  const [streams, events] = [writes.length, writes.reduce((sum, write) => sum + write.events.length, 0)];
  if (events === 1) return ONE_EVENT_MS;
  const after = APPEND_MS.findIndex(([measured]) => measured >= streams);
  const [to, toMs] = APPEND_MS.at(after)!;
  if (after <= 0) return (toMs * streams) / to;
  const [from, fromMs] = APPEND_MS[after - 1]!;
  return fromMs + ((toMs - fromMs) * (streams - from)) / (to - from);
}

/** Returns the answer. */
async function appendToStream(request: InstanceType<typeof v1.BatchAppendReq>): Promise<Uint8Array> {
  const options = request.getOptions()!;
  const streamName = Buffer.from(options.getStreamIdentifier()!.getStreamName_asU8()).toString();
  const expectedState = options.hasStreamPosition() ? BigInt(options.getStreamPosition()) : 'no_stream';
  const events = request.getProposedMessagesList().map((message) =>
    jsonEvent({
      id: message.getId()!.getString(),
      type: message.getMetadataMap().get('type')!,
      data: parsed(message.getData_asU8()) as never,
      metadata: parsed(message.getCustomMetadata_asU8()) as never,
    }),
  );
  const writes = [{ streamName, expectedState, events }] as unknown as AppendStreamRequest[];
  await sleep(appendMs(writes) - WAY_MS);
  const answer = new v1.BatchAppendResp()
    .setCorrelationId(request.getCorrelationId())
    .setStreamIdentifier(options.getStreamIdentifier());
  try {
    const at = `${server.append(writes)}`;
    const position = new shared.AllStreamPosition().setCommitPosition(at).setPreparePosition(at);
    const revision = `${server.revisionOf(streamName)}`;
    answer.setSuccess(new v1.BatchAppendResp.Success().setCurrentRevision(revision).setPosition(position));
  } catch (error) {
    if (!(error instanceof WrongExpectedVersionError)) throw error;
    const conflict = new shared.WrongExpectedVersion();
    if (error.actualState !== 'no_stream') conflict.setCurrentStreamRevision(`${numberOf(error.actualState)}`);
    if (expectedState === 'no_stream') conflict.setExpectedNoStream(new empty.Empty());
    else conflict.setExpectedStreamPosition(`${expectedState}`);
    answer.setError(statusWith(conflict.serializeBinary(), 'event_store.client.WrongExpectedVersion'));
  }
  return answer.serializeBinary();
}

/** What the server adds to metadata is added here as well. */
function requestOf(request: InstanceType<typeof v2.AppendRequest>): AppendStreamRequest {
  const expected = BigInt(request.getExpectedRevision()!);
  const events = request.getRecordsList().map((record) => {
    const type = record.getSchema()!.getName();
    const properties = record
      .getPropertiesMap()
      .toArray()
      .map(([key]) => [key, record.getPropertiesMap().get(key)!.getStringValue()]);
    return jsonEvent({
      id: record.getRecordId()!,
      type,
      data: parsed(record.getData_asU8()) as never,
      metadata: { ...Object.fromEntries(properties), '$schema.name': type, '$schema.format': 'Json' } as never,
    });
  });
  const expectedState = expected === NO_STREAM ? 'no_stream' : expected;
  return { streamName: request.getStream(), expectedState, events } as unknown as AppendStreamRequest;
}

/** By the client's native part, whose reads wait for an acknowledgement when they go alone over their connection. */
async function read(call: Call, options: ReadOptions): Promise<void> {
  const others = reading.get(call.connection) ?? { count: 0, joined: new AbortController() };
  reading.set(call.connection, others);
  others.count++;
  try {
    if (others.count > 1) {
      others.joined.abort();
      await sleep(READ_MS - WAY_MS);
    } else {
      others.joined = new AbortController();
      await sleep(LONE_READ_MS - WAY_MS, undefined, others.joined).catch(() => {});
    }
    for (const event of found(options)) await call.send(encoded(event));
    if (options.hasStream() && server.eventsOf(streamOf(options)) === undefined) {
      const missing = new v1.ReadResp.StreamNotFound().setStreamIdentifier(options.getStream()!.getStreamIdentifier());
      await call.send(new v1.ReadResp().setStreamNotFound(missing).serializeBinary());
    }
  } finally {
    others.count--;
  }
}

function* found(options: ReadOptions): Iterable<Stored> {
  const count = Number(options.getCount());
  if (options.hasStream()) {
    const stream = options.getStream()!;
    const from = stream.hasRevision() ? Number(stream.getRevision()) : 0;
    yield* server.eventsOf(streamOf(options))?.slice(from, from + count) ?? [];
    return;
  }
  const all = options.getAll()!;
  if (options.getReadDirection() === v1.ReadReq.Options.ReadDirection.BACKWARDS) {
    if (!all.hasEnd() || count !== 1) throw new Error('Only the last event is read backwards.');
    yield* server.log.slice(-1);
    return;
  }
  // Its position is inclusive, and the end is where it was when the read began.
  const from = all.hasPosition() ? BigInt(all.getPosition()!.getCommitPosition()) : 0n;
  const end = server.log.length;
  const passes = filterOf(options);
  let size = 0;
  for (let i = firstAfter(server.log, from - 1n); i < end && size < count; i++) {
    if (!passes(server.log[i]!)) continue;
    size++;
    yield server.log[i]!;
  }
}

/** From behind its position or revision, until the client ends it. */
async function subscribe(call: Call, options: ReadOptions): Promise<void> {
  const { ended, send } = call;
  const confirmation = new v1.ReadResp.SubscriptionConfirmation().setSubscriptionId('stand-in');
  await send(new v1.ReadResp().setConfirmation(confirmation).serializeBinary());
  const passes = filterOf(options);
  const filter = options.getFilter();
  const interval = filter ? filter.getMax() * filter.getCheckpointintervalmultiplier() : 0;
  const events = () => (options.hasStream() ? (server.eventsOf(streamOf(options)) ?? []) : server.log);
  let next = beginningOf(options);
  let scanned = 0;
  const connection = server.connection(true);
  try {
    for (let caughtUp = false; !ended.aborted;) {
      const event = events()[next];
      if (!event) {
        if (!caughtUp) await send(new v1.ReadResp().setCaughtUp(new v1.ReadResp.CaughtUp()).serializeBinary());
        else if (await connection.bell.wait(ended).then(() => !ended.aborted)) await sleep(LIVE_MS);
        caughtUp = true;
        continue;
      }
      next++;
      if (passes(event)) await send(encoded(event));
      if (interval > 0 && ++scanned % interval === 0) {
        const at = `${event.position}`;
        const checkpoint = new v1.ReadResp.Checkpoint().setCommitPosition(at).setPreparePosition(at);
        await send(new v1.ReadResp().setCheckpoint(checkpoint).serializeBinary());
      }
    }
  } finally {
    server.disconnect(connection);
  }
}

/** The index of the first event, in the stream or in the log. */
function beginningOf(options: ReadOptions): number {
  if (options.hasStream()) {
    const stream = options.getStream()!;
    return stream.hasRevision() ? Number(stream.getRevision()) + 1 : 0;
  }
  const all = options.getAll()!;
  if (all.hasEnd()) return server.log.length;
  return all.hasPosition() ? firstAfter(server.log, BigInt(all.getPosition()!.getCommitPosition())) : 0;
}

function filterOf(options: ReadOptions): (event: Stored) => boolean {
  const prefixes = options.getFilter()?.getStreamIdentifier()?.getPrefixList() ?? [''];
  return ({ streamId }) => prefixes.some((prefix) => streamId.startsWith(prefix));
}

function streamOf(options: ReadOptions): string {
  return Buffer.from(options.getStream()!.getStreamIdentifier()!.getStreamName_asU8()).toString();
}

/** What is sent of an event, which is the same for all who ask. */
const sent = new WeakMap<Stored, Uint8Array>();

function encoded(event: Stored): Uint8Array {
  const known = sent.get(event);
  if (known) return known;
  const name = new shared.StreamIdentifier().setStreamName(Buffer.from(event.streamId));
  const recorded = new v1.ReadResp.ReadEvent.RecordedEvent()
    .setId(new shared.UUID().setString(event.id))
    .setStreamIdentifier(name)
    .setStreamRevision(`${event.revision}`)
    .setCommitPosition(`${event.position}`)
    .setPreparePosition(`${event.position}`)
    .setData(Buffer.from(event.data))
    .setCustomMetadata(Buffer.from(event.metadata));
  recorded
    .getMetadataMap()
    .set('type', event.type)
    .set('content-type', 'application/json')
    .set('created', `${event.created.getTime() * TICKS_PER_MS}`);
  const message = new v1.ReadResp.ReadEvent().setEvent(recorded).setCommitPosition(`${event.position}`);
  const bytes = new v1.ReadResp().setEvent(message).serializeBinary();
  sent.set(event, bytes);
  return bytes;
}

function statusWith(details: Uint8Array, type: string) {
  const packed = new any.Any();
  packed.pack(details, type);
  return new status.Status().setMessage(type).setDetails(packed);
}

function parsed(json: Uint8Array): unknown {
  return json.length > 0 ? JSON.parse(Buffer.from(json).toString()) : undefined;
}

function numberOf(state: unknown): bigint {
  return typeof state === 'bigint' ? state : NO_STREAM;
}

grpc.listen(0, '127.0.0.1', () => {
  process.send!(`kurrentdb://127.0.0.1:${(grpc.address() as AddressInfo).port}?tls=false`);
});
process.on('disconnect', () => process.exit());
