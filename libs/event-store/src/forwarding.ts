import { type Batch, EventStore, type RecordedEvent, type StreamWrite, type Turn } from './port.js';

/** Another store, as it is: what stands before one overrides what it changes. */
export class ForwardingStore extends EventStore {
  constructor(protected readonly store: EventStore) {
    super();
  }

  override append(writes: readonly StreamWrite[]): Promise<bigint> {
    return this.store.append(writes);
  }

  override inTurn<T>(streams: ReadonlyMap<string, number>, work: (turn: Turn) => Promise<T>): Promise<T> {
    return this.store.inTurn(streams, work);
  }

  override read(stream: string, from?: number): AsyncIterable<RecordedEvent> {
    return this.store.read(stream, from);
  }

  override subscribe(options: Parameters<EventStore['subscribe']>[0]): AsyncIterable<Batch> {
    return this.store.subscribe(options);
  }

  override head(atLeast?: bigint): Promise<bigint> {
    return this.store.head(atLeast);
  }

  override close(): Promise<void> {
    return this.store.close();
  }
}
