/**
 * What happens in a service, for whoever listens: a person, or the gateway, which tells it to many.
 *
 *   begin   first of all, with the position after which it begins as its id
 *   fact    each event of its aggregates, with its position as the id to go on from
 *   shown   a read model has reached a position
 *   lag     once a second: how far the log goes, and what is behind it
 *
 * The log is followed once, however many listen, and only while somebody does. Who begins before its end reads what they
 * lack by themselves, and joins the others there:
 *
 *   after ──▶ own subscription ──▶ ... ──▶ as far as the others ──┐
 *   now ──────────────────────────────────────────────────────────┴──▶ what all are sent
 *
 * Whatever goes wrong ends the streams: those who listen come back, and say up to where they know.
 */
import { type Batch, type EventStore, followFromHead, withUpcasters } from '#event-store';
import { abortQuietly, Bell, type Clock, supervise } from '#runtime';
import { factOf, type ServiceDefinition, type ServicePorts } from '#service';
import { type EventStream, eventText } from '../http/event-stream.js';

/** Between two looks at the read models while one is behind. */
const LOOK_EVERY_MS = 100;
const LAG_EVERY_MS = 1_000;
/** Who leaves more unread than this is cut off. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;

interface Listener {
  readonly stream: EventStream;
  /** Up to here they have been sent everything. */
  position: bigint;
  /** Whether they are sent what all are sent. */
  hasJoined: boolean;
}

/** Following the log, from when somebody begins to listen until nobody does. */
class Session {
  readonly listeners = new Set<Listener>();
  readonly stop = new AbortController();
  readonly moved = new Bell();
  /** The position up to which the log was followed. */
  position = 0n;
  /** Resolves when it follows; fails when it cannot. */
  begun: Promise<void> = Promise.resolve();
}

type Ports = Pick<
  ServicePorts,
  'clock' | 'random' | 'log' | 'store' | 'tables' | 'checkpoints' | 'bus' | 'deadLetters'
>;

export class Activity {
  private session: Session | undefined;
  private readonly running = new Set<Promise<void>>();
  private readonly store: EventStore;

  constructor(
    private readonly definition: ServiceDefinition,
    private readonly ports: Ports,
  ) {
    this.store = withUpcasters(ports.store, definition.upcasters);
  }

  /**
   * Opens a stream, and sends on it what happens after `after`, which the store has reached; by default after now.
   * @throws when the store cannot be read
   */
  async listen(after: bigint | undefined, open: (from: bigint) => EventStream): Promise<void> {
    const session = (this.session ??= this.begin());
    await session.begun;
    const from = after ?? session.position;
    const stream = open(from);
    const listener = { stream, position: from, hasJoined: false };
    const leave = () => {
      session.listeners.delete(listener);
      if (session.listeners.size === 0) this.end(session);
    };
    if (stream.ended.aborted) return leave();
    session.listeners.add(listener);
    stream.ended.addEventListener('abort', leave);
    if (session.stop.signal.aborted) return stream.end(); // It has failed meanwhile.
    await this.catchUp(listener, session).catch((error: unknown) => {
      this.ports.log.warn({ err: error }, 'Somebody who listens to what happens could not be told; they come back.');
      stream.end();
    });
  }

  /** Resolves when nothing is followed any more. */
  async close(): Promise<void> {
    if (this.session) this.end(this.session);
    await Promise.all(this.running);
  }

  private begin(): Session {
    const session = new Session();
    const { signal } = session.stop;
    const { log } = this.ports;
    const looking = supervise('activity', this.ports, signal, (s) => this.look(session, s));
    session.begun = new Promise((begun, failed) => {
      const following = followFromHead(this.store, this.categories, signal, (batch) => {
        this.pass(batch, session);
        begun();
      }).catch((error: unknown) => {
        log.warn({ err: error }, 'What happens cannot be followed; those who listen come back.');
        failed(error);
      });
      const running: Promise<void> = following.then(async () => {
        begun(); // When it was stopped before.
        this.end(session);
        await looking;
        this.running.delete(running);
      });
      this.running.add(running);
    });
    session.begun.catch(() => {}); // It is reported to those who wait for it.
    return session;
  }

  private end(session: Session): void {
    if (this.session === session) this.session = undefined;
    abortQuietly(session.stop);
    for (const { stream } of session.listeners) stream.end();
  }

  private get categories(): readonly string[] {
    return Object.keys(this.definition.aggregates);
  }

  /** Sends what is before the session's position, and has the listener join there. */
  private async catchUp(listener: Listener, session: Session): Promise<void> {
    const { stream, position: after } = listener;
    const hasCaughtUp = () => (listener.hasJoined = listener.position >= session.position);
    if (hasCaughtUp()) return;
    for await (const batch of this.store.subscribe({
      categories: this.categories,
      after,
      signal: stream.ended,
    })) {
      for (const [, text] of this.textsOf(batch)) stream.send(text);
      listener.position = batch.position;
      if (hasCaughtUp()) return;
      await stream.drained();
    }
  }

  /** Sends a batch to all that have joined. */
  private pass(batch: Batch, session: Session): void {
    session.position = batch.position;
    session.moved.ring();
    const texts = this.textsOf(batch);
    for (const listener of session.listeners) {
      if (!listener.hasJoined) continue;
      for (const [position, text] of texts) if (position > listener.position) listener.stream.send(text);
      if (batch.position > listener.position) listener.position = batch.position;
    }
    this.cutSlow(session);
  }

  private textsOf({ events }: Batch): [position: bigint, text: string][] {
    return events.map((event) => [
      event.position,
      eventText('fact', factOf(this.definition.name, event), `${event.position}`),
    ]);
  }

  /** Looks at the read models while one is behind, and once a second at everything. */
  private async look(session: Session, signal: AbortSignal): Promise<void> {
    const { clock, tables } = this.ports;
    const { name: service, projections } = this.definition;
    let before: ReadonlyMap<string, bigint> = new Map();
    let nextLagMs = clock.monotonicMs();
    while (!signal.aborted) {
      const positions = await tables.positions(projections);
      const at = clock.now().toISOString();
      for (const [readModel, position] of positions) {
        const moved = before.get(readModel) ?? position;
        if (moved !== position) this.tell('shown', { service, readModel, position: `${position}`, at }, session);
      }
      before = positions;
      if (clock.monotonicMs() >= nextLagMs) {
        nextLagMs = clock.monotonicMs() + LAG_EVERY_MS;
        this.tell('lag', { service, at, ...(await this.lag(positions)) }, session);
      }
      await pause(
        clock,
        [...positions.values()].some((it) => it < session.position),
        session.moved,
        nextLagMs,
        signal,
      );
    }
  }

  private async lag(positions: ReadonlyMap<string, bigint>) {
    const { store, checkpoints, bus, deadLetters } = this.ports;
    const { name, relays, subscribes } = this.definition;
    const topics = subscribes.map((topic) => topic.name);
    const relay = relays.length > 0 ? await checkpoints.load(name) : undefined;
    const unread = await bus.unread(name, topics);
    return {
      head: `${await store.head()}`, // After the positions, which are never ahead of it then.
      readModels: Object.fromEntries([...positions].map(([readModel, position]) => [readModel, `${position}`])),
      ...(relay !== undefined && { relay: `${relay}` }),
      unread: unread.reduce((sum, partition) => sum + partition.unread, 0),
      deadLetters: await deadLetters.countDead(),
    };
  }

  private tell(name: 'shown' | 'lag', data: object, session: Session): void {
    const text = eventText(name, data);
    for (const { stream, hasJoined } of session.listeners) if (hasJoined) stream.send(text);
    this.cutSlow(session);
  }

  private cutSlow({ listeners }: Session): void {
    for (const { stream, hasJoined } of listeners) {
      if (hasJoined && stream.waitingBytes > MAX_WAITING_BYTES) stream.cut();
    }
  }
}

/** Waits until there may be something to see. */
async function pause(clock: Clock, isBehind: boolean, moved: Bell, nextLagMs: number, signal: AbortSignal) {
  const leftMs = Math.max(0, nextLagMs - clock.monotonicMs());
  if (isBehind) await clock.sleep(Math.min(LOOK_EVERY_MS, leftMs), signal);
  else await moved.wait(signal, { clock, pollMs: leftMs });
}
