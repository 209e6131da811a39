/**
 * Everything besides HTTP that lives as long as the service: loops that run and resources to close. Nest calls its hooks,
 * which gives the order of a service's life:
 *
 *   start   modules are made ─▶ loops run ─▶ HTTP listens
 *   stop    readiness is red for DRAIN_TIME (application.ts) ─▶ `stopping` aborts (requests that wait are answered now) ─▶ HTTP
 *           accepts no more requests and finishes those under way ─▶ loops are stopped and awaited ─▶ resources close, the
 *           last opened first
 */
import {
  type BeforeApplicationShutdown,
  Injectable,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import type { Log } from '#runtime';

type Loop = (signal: AbortSignal) => Promise<void>;

@Injectable()
export class Background implements OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown {
  private readonly stoppingSoon = new AbortController();
  private readonly stopLoops = new AbortController();
  private readonly waiting: Loop[] = [];
  private readonly running: Promise<void>[] = [];
  private readonly closers: (() => Promise<unknown>)[] = [];
  private started = false;

  constructor(private readonly log: Log) {}

  /** Aborts when the service begins to stop, while requests are still answered. */
  get stopping(): AbortSignal {
    return this.stoppingSoon.signal;
  }

  /**
   * Runs `loop` from before HTTP listens until after it has stopped. It ends when its signal aborts. A loop that fails
   * is an unhandled rejection, which ends the process: loops that should survive their errors are supervised (#runtime).
   */
  run(loop: Loop): void {
    if (this.started) this.running.push(loop(this.stopLoops.signal));
    else this.waiting.push(loop);
  }

  /** Calls `close` when all loops have ended; the last registered is called first. */
  onClose(close: () => Promise<unknown>): void {
    this.closers.push(close);
  }

  onApplicationBootstrap(): void {
    this.started = true;
    this.waiting.splice(0).forEach((loop) => this.run(loop));
  }

  beforeApplicationShutdown(): void {
    this.stoppingSoon.abort();
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopLoops.abort();
    await Promise.allSettled(this.running);
    for (const close of this.closers.splice(0).reverse()) {
      await close().catch((error: unknown) => this.log.warn({ err: error }, 'A resource could not be closed.'));
    }
  }
}
