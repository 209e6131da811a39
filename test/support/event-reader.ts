/** Reads server-sent events, as a program does. */
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { readEvents, type ReceivedEvent, requestEvents } from '../../apps/gateway/src/http/read-events.js';

export { requestEvents };

export class EventReader {
  /** All that has come and was not taken yet. */
  readonly events: ReceivedEvent[] = [];
  /** The id that it would come back with. */
  lastId: string | undefined;
  hasEnded = false;
  private wake = () => {};

  private constructor(
    readonly response: IncomingMessage,
    private readonly stop: AbortController,
  ) {
    void this.read().finally(() => {
      this.hasEnded = true;
      this.wake();
    });
  }

  /** Resolves when the answer has begun. @throws when it is not a stream */
  static async open(url: string, headers: Record<string, string> = {}): Promise<EventReader> {
    const stop = new AbortController();
    const response = await requestEvents(url, headers, stop.signal);
    if (response.headers['content-type']?.startsWith('text/event-stream')) return new EventReader(response, stop);
    throw new Error(`${response.statusCode} ${await text(response)}`);
  }

  close(): void {
    this.stop.abort();
  }

  /** The data of the next event, or of the next with this name: the others before it are gone. */
  async next<Data = any>(name?: string): Promise<Data> {
    for (;;) {
      const event = this.events.shift();
      if (event && (name === undefined || event.name === name)) return JSON.parse(event.data) as Data;
      if (event) continue;
      if (this.hasEnded) throw new Error('The stream has ended.');
      await new Promise<void>((wake) => (this.wake = wake));
    }
  }

  private async read(): Promise<void> {
    try {
      for await (const events of readEvents(this.response)) {
        this.lastId = events.findLast(({ id }) => id !== undefined)?.id ?? this.lastId;
        this.events.push(...events);
        this.wake();
      }
    } catch {
      // It was cut off.
    }
  }
}
