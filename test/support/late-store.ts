/** An event store in memory whose answers and news can be held up, for what happens in between. */
import { type Batch, type EventStore, MemoryEventStore, type RecordedEvent } from '#event-store';

/** A door that what comes late waits at. */
class Door {
  private opened = Promise.resolve();
  open = () => {};

  shut(): void {
    this.opened = new Promise((resolve) => (this.open = resolve));
  }

  passed = () => this.opened;
}

/** A store whose answers and whose news come late: as they were when they were asked for, and when their door is open. */
export class LateStore extends MemoryEventStore {
  reads = 0;
  readonly answers = new Door();
  readonly news = new Door();

  override async *read(stream: string, from?: number): AsyncIterable<RecordedEvent> {
    this.reads++;
    const events: RecordedEvent[] = [];
    for await (const event of super.read(stream, from)) events.push(event);
    await this.answers.passed();
    yield* events;
  }

  override async *subscribe(options: Parameters<EventStore['subscribe']>[0]): AsyncIterable<Batch> {
    for await (const batch of super.subscribe(options)) {
      await this.news.passed();
      yield batch;
    }
  }
}
