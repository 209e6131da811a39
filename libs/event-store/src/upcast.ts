/**
 * Events stay as they were written; the shape that code wants changes. An upcaster lifts the data of one event type from
 * one version of its shape to the next, at read time, so that everything that reads the store knows only the newest shape:
 *
 *   stored v1 ──upcast──▶ v2 ──upcast──▶ v3 ──▶ deciders, projections, relays
 *
 * So a change to the shape of a stored event needs an upcaster here, and a golden file that keeps an event of the old
 * shape and proves that it is still read.
 */
import { ServerUnavailable } from '#runtime';
import { ForwardingStore } from './forwarding.js';
import type { Batch, DomainEvent, EventStore, RecordedEvent, Turn } from './port.js';

/** Turns data of one version into data of the next. Pure: returns a new object and leaves the old one unchanged. */
export type Upcast = (data: any) => object;

/**
 * By event type, the steps from version 1 to 2, from 2 to 3, and so on; the current version is the number of steps plus
 * one. A service names every type that it stores, so its table is also the list of its events: a type that is missing is
 * one of a newer release.
 *
 *   { OrderPlaced: [addCurrency, splitLines], OrderConfirmed: [] }   OrderPlaced is at version 3
 */
export type Upcasters<E extends DomainEvent = DomainEvent> = Readonly<Record<E['type'], readonly Upcast[]>>;

/** The current version of a type's shape. */
export function versionOf(upcasters: Upcasters, type: string): number {
  return (upcasters[type]?.length ?? 0) + 1;
}

/**
 * An event that a newer release has written. Nothing is wrong with what was asked: an instance of that release can do it, and
 * this one can do it later, when it has been replaced.
 */
export class NewerEvent extends ServerUnavailable {
  override readonly name = 'NewerEvent';
}

/**
 * The same store with every event lifted to its current shape. Reading fails with NewerEvent at a type or a shape that this
 * code does not know yet, which old instances meet while a release is rolled out: to continue would be to misread an event,
 * and to pass over one would be to lose it.
 */
export function withUpcasters(store: EventStore, upcasters: Upcasters): EventStore {
  return new UpcastingEventStore(store, upcasters);
}

class UpcastingEventStore extends ForwardingStore {
  constructor(
    store: EventStore,
    private readonly upcasters: Upcasters,
  ) {
    super(store);
  }

  override inTurn<T>(streams: ReadonlyMap<string, number>, work: (turn: Turn) => Promise<T>): Promise<T> {
    return this.store.inTurn(streams, (turn) =>
      work({
        append: (writes) => turn.append(writes),
        read: (stream, from) => this.upcastAll(turn.read(stream, from)),
      }),
    );
  }

  override read(stream: string, from?: number): AsyncIterable<RecordedEvent> {
    return this.upcastAll(this.store.read(stream, from));
  }

  override async *subscribe(options: Parameters<EventStore['subscribe']>[0]): AsyncIterable<Batch> {
    for await (const { events, position } of this.store.subscribe(options)) {
      yield { events: events.map((event) => upcast(event, this.upcasters)), position };
    }
  }

  private async *upcastAll(events: AsyncIterable<RecordedEvent>): AsyncIterable<RecordedEvent> {
    for await (const event of events) yield upcast(event, this.upcasters);
  }
}

/** The event in its current shape: the event itself when it has that already, as nearly all do. */
function upcast(event: RecordedEvent, upcasters: Upcasters): RecordedEvent {
  const { schema } = event.metadata;
  const steps = upcasters[event.type];
  const current = versionOf(upcasters, event.type);
  if (steps && schema === current) return event;
  if (!steps || schema > current) {
    const newer = steps
      ? `has version ${schema} of its shape, and this deployment knows versions up to ${current}`
      : 'is of a type that this deployment does not know';
    throw new NewerEvent(
      `${event.type} at ${event.stream}, revision ${event.revision}, ${newer}. Deploy the version that wrote it, or a later one.`,
    );
  }
  const data = steps.slice(schema - 1).reduce<object>((old, step) => step(old), event.data);
  return { ...event, data, metadata: { ...event.metadata, schema: current } };
}
