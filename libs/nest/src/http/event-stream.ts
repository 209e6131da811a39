/**
 * Server-sent events: an answer that goes on, until its reader goes, does not read, or the process stops.
 *
 *   open ─▶ event, event, … a heartbeat now and then, so that nobody takes it for dead ─▶ end
 *
 * It ends after some minutes in any case, and its reader comes back by `Last-Event-ID`: so whoever may no longer read, as
 * their token has expired, reads no more.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ServerResponse } from 'node:http';
import { abortQuietly, type Clock } from '#runtime';
import { tryAgain } from './problem.js';

const HEARTBEAT_MS = 5_000;
const LASTS_MS = 10 * 60_000;

/** A comment, which no reader is told of. */
const COMMENT = ':\n\n';

/** After how many milliseconds a reader comes back whose connection has ended. */
const RETRY = 'retry: 1000\n\n';

/** An event as it is sent: JSON has no line breaks. Whoever comes back says the `id` that they have read last. */
export function eventText(name: string, data: object, id?: string): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n${id === undefined ? '' : idText(id)}\n`;
}

/** The line that ends an event that has an id. */
export function idText(id: string): string {
  return `id: ${id}\n`;
}

/** The way to one reader. */
export class EventStream {
  private readonly over = new AbortController();

  constructor(
    private readonly response: ServerResponse,
    readonly openedMs: number,
  ) {
    if (response.closed) abortQuietly(this.over); // Its reader did not wait for the beginning.
    response.once('close', () => abortQuietly(this.over));
    response.on('error', () => this.cut());
  }

  /** Aborts when nothing more can be sent. */
  get ended(): AbortSignal {
    return this.over.signal;
  }

  /** How many bytes were sent that the connection has not taken. */
  get waitingBytes(): number {
    return this.response.writableLength;
  }

  /** Whether the connection has not taken all, and `onDrained` is going to be called. */
  get isFull(): boolean {
    return this.response.writableNeedDrain;
  }

  send(chunk: string | Buffer): void {
    if (this.response.writable) this.response.write(chunk);
  }

  onDrained(call: () => void): void {
    this.response.on('drain', call);
  }

  /** Resolves when the connection has taken all, or has ended. */
  async drained(): Promise<void> {
    if (!this.isFull || this.over.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        this.response.off('drain', done).off('close', done);
        resolve();
      };
      this.response.once('drain', done).once('close', done);
    });
  }

  /** Ends it when what was sent has arrived; who does not take it would keep the process from its end. */
  end(): void {
    if (this.isFull) this.cut();
    else this.response.end();
  }

  /** Ends it at once, and frees what waits. */
  cut(): void {
    abortQuietly(this.over);
    this.response.destroy();
  }
}

/** The open streams of a process. */
export class EventStreams {
  private readonly streams = new Set<EventStream>();

  /** `max` is how many there may be. All end when `stopping` aborts. `heartbeat` is what they are sent every five seconds. */
  constructor(
    private readonly options: {
      readonly clock: Clock;
      readonly stopping: AbortSignal;
      readonly max: number;
      readonly heartbeat?: string;
    },
  ) {
    options.stopping.addEventListener('abort', () => this.streams.forEach((stream) => stream.end()));
  }

  get size(): number {
    return this.streams.size;
  }

  /**
   * Begins to answer a request with a stream. Its first event, `begin`, has the id after which it goes on.
   * @throws Problem 503 when there are too many, or the process stops
   */
  open(request: FastifyRequest, reply: FastifyReply, id: string): EventStream {
    const { clock, stopping, max } = this.options;
    if (stopping.aborted) throw tryAgain('unavailable', 'The service stops. Try again.');
    if (this.streams.size >= max) throw tryAgain('unavailable', 'Too many read what happens. Try again later.');
    const { raw } = reply.hijack();
    raw.writeHead(200, {
      ...(reply.getHeaders() as NodeJS.Dict<string>),
      'content-type': 'text/event-stream; charset=utf-8',
      connection: 'close',
      // A proxy such as nginx would collect them.
      'x-accel-buffering': 'no',
    });
    const stream = new EventStream(raw, clock.monotonicMs());
    if (stream.ended.aborted) return stream;
    this.streams.add(stream);
    stream.ended.addEventListener('abort', () => this.streams.delete(stream));
    if (request.method === 'HEAD') stream.end();
    else stream.send(`${RETRY}${eventText('begin', {}, id)}`);
    return stream;
  }

  /** Sends heartbeats, and ends what lasts too long, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, heartbeat = COMMENT } = this.options;
    while (!signal.aborted) {
      await clock.sleep(HEARTBEAT_MS, signal);
      const nowMs = clock.monotonicMs();
      for (const stream of this.streams) {
        if (nowMs - stream.openedMs >= LASTS_MS) stream.end();
        else if (!stream.isFull) stream.send(heartbeat);
      }
    }
  }
}
