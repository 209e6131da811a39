/**
 * What lives as long as the service does, besides HTTP: loops that run and resources that are closed. Nest calls it, and
 * so gives the order of a service's life:
 *
 *   start   modules are made ─▶ loops run ─▶ HTTP listens
 *   stop    `stopping` aborts (who waits on behalf of a request answers now) ─▶ HTTP takes no more and finishes its
 *           requests ─▶ loops are told to stop, and waited for ─▶ resources close, the last opened first
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
   * Runs `loop` from before HTTP listens until after it has stopped. It ends when its signal aborts. One that fails is
   * an unhandled rejection, which ends the process: loops that should survive their errors are supervised (#runtime).
   */
  run(loop: Loop): void {
    if (this.started) this.running.push(loop(this.stopLoops.signal));
    else this.waiting.push(loop);
  }

  /** Closes something when all loops have ended; what was registered last is closed first. */
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
      await close().catch((error: unknown) => this.log.warn({ err: error }, 'Something did not close.'));
    }
  }
}
