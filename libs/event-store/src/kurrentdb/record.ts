/**
 * Events as KurrentDB keeps them, and batches of them that never end inside an append.
 *
 * A position does not show whether an append ends there. So each event notes in its metadata which categories are still
 * to come in its append; the last one notes nothing, and neither do events that others write. A subscriber delivers an
 * event only when nothing of its own categories is still to come.
 *
 *   append:    order-1           stock-a           stock-b    payment-1
 *   notes:     stock, payment    stock, payment    payment    -
 *                                                  ▲          ▲
 *                    a reader of stock may stop here          and one of order and payment only here
 *
 * Each event also notes when it was appended, by the writer's clock, as in the other stores: the client's reads cut
 * KurrentDB's own time to seconds, and its subscriptions do not.
 */
import {
  type AppendStreamRequest,
  type AppendStreamState,
  jsonEvent,
  NO_STREAM,
  type RecordedEvent as StoredEvent,
} from '@kurrent/kurrentdb-client';
import { frozenCopy } from '#runtime';
import { type Batch, categoryOf, type EventMetadata, type RecordedEvent, type StreamWrite } from '../port.js';

/** The metadata field with the categories that follow, joined by hyphens, which no category contains. */
const FOLLOWS = 'follows';
/** The metadata field with the time of the append. */
const RECORDED_AT = 'recordedAt';

type Texts = Readonly<Record<string, string>>;

/** An append for the client. It is a copy: later changes by the caller are not written. */
export function requestsOf(writes: readonly StreamWrite[], now: Date): AppendStreamRequest[] {
  const recordedAt = now.toISOString();
  const following = new Set<string>();
  const fromTheEnd = writes.toReversed().map(({ stream, expected, events }) => {
    const backwards = events.toReversed().map(({ id, type, data, metadata }) => {
      const texts = { ...textsOf(metadata, following), [RECORDED_AT]: recordedAt };
      const event = jsonEvent({ id, type, data: frozenCopy(data) as Texts, metadata: texts });
      following.add(categoryOf(stream));
      return event;
    });
    const expectedState: AppendStreamState = expected === 'none' ? NO_STREAM : BigInt(expected);
    return { streamName: stream, expectedState, events: backwards.toReversed() };
  });
  return fromTheEnd.toReversed();
}

/** An append to several streams accepts only texts as metadata, so every append has only texts. */
function textsOf(metadata: EventMetadata, following: ReadonlySet<string>): Texts {
  const texts: Record<string, string> = {};
  for (const [name, value] of Object.entries(metadata)) {
    if (value !== undefined) texts[name] = `${value}`;
  }
  if (following.size > 0) texts[FOLLOWS] = [...following].join('-');
  return texts;
}

export function toRecorded({ id, streamId, type, data, ...event }: StoredEvent): RecordedEvent {
  const texts = textsIn(event);
  return {
    id,
    stream: streamId,
    revision: Number(event.revision),
    position: positionOf(event),
    type,
    data: data as object,
    metadata: metadataOf(texts),
    recordedAt: recordedAtOf(event, texts[RECORDED_AT]),
  };
}

/**
 * The time that the writer noted. An event without one, or with something else in its place, is of an earlier version of
 * this code or of others: then it is KurrentDB's own, in whole seconds, whichever way the event came.
 */
function recordedAtOf({ created }: Pick<StoredEvent, 'created'>, noted = ''): string {
  const time = new Date(noted);
  if (!Number.isNaN(time.getTime()) && time.toISOString() === noted) return noted;
  return new Date(Math.floor(created.getTime() / 1_000) * 1_000).toISOString();
}

/** KurrentDB has two numbers for a place in the log, which differ only in transactions of old clients. */
export function positionOf({ position }: Pick<StoredEvent, 'position'>): bigint {
  if (!position) throw new Error('KurrentDB returned an event without its position: the server is too old.');
  return position.commit;
}

/** The writer's part of the metadata: without our own notes, and without the server's `$schema.name` and `$schema.format`. */
function metadataOf({ schema = '1', ...texts }: Texts): EventMetadata {
  const own = Object.entries(texts).filter(
    ([name]) => name !== FOLLOWS && name !== RECORDED_AT && !name.startsWith('$'),
  );
  return { ...(Object.fromEntries(own) as Omit<EventMetadata, 'schema'>), schema: Number(schema) };
}

/** Other writers may put bytes there, or nothing. */
function textsIn({ metadata }: Pick<StoredEvent, 'metadata'>): Texts {
  return typeof metadata === 'object' && !(metadata instanceof Uint8Array) ? (metadata as Texts) : {};
}

/**
 * Makes a subscriber's batches from what it sees of the log. Several sources may show it the same stretch, each in
 * position order and without a gap: what was seen already is left out.
 */
export class Batches {
  private readonly categories: ReadonlySet<string>;
  /** Events of complete appends, not yet taken. */
  private ready: RecordedEvent[] = [];
  /** Events of an append whose rest is still to come. */
  private held: RecordedEvent[] = [];
  private safe: bigint;
  private taken: bigint;
  private last: bigint;

  constructor(categories: readonly string[], after: bigint) {
    this.categories = new Set(categories);
    this.safe = this.taken = this.last = after;
  }

  /** The position up to which everything was seen. */
  get seen(): bigint {
    return this.last;
  }

  /** The next event that a source shows, of whatever category. */
  see(event: StoredEvent): void {
    const position = positionOf(event);
    if (position <= this.last) return;
    this.last = position;
    if (this.categories.has(categoryOf(event.streamId))) this.held.push(toRecorded(event));
    const following = textsIn(event)[FOLLOWS]?.split('-') ?? [];
    if (this.held.length > 0 && following.some((category) => this.categories.has(category))) return;
    for (const each of this.held) this.ready.push(each);
    this.held = [];
    this.safe = position;
  }

  /** Records that everything up to `position` was seen. */
  reach(position: bigint): void {
    if (position <= this.last || this.held.length > 0) return;
    this.safe = this.last = position;
  }

  /** Takes what is complete; undefined when not even the position has moved. */
  take(): Batch | undefined {
    if (this.safe === this.taken) return undefined;
    const batch = { events: this.ready, position: this.safe };
    this.ready = [];
    this.taken = this.safe;
    return batch;
  }
}
