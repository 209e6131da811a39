import { setImmediate as turn } from 'node:timers/promises';
import { Clock } from '../ports.js';

/** A clock that stands still until a test moves it on, or sets it. */
export class ManualClock extends Clock {
  private readonly sleepers = new Set<{ readonly dueMs: number; readonly wake: () => void }>();
  private elapsedMs = 0;
  /** The time that it shows when none has passed. */
  private startMs: number;

  constructor(start = '2026-01-01T00:00:00.000Z') {
    super();
    this.startMs = Date.parse(start);
  }

  override now(): Date {
    return new Date(this.startMs + this.elapsedMs);
  }

  override monotonicMs(): number {
    return this.elapsedMs;
  }

  /** Sets it forward by `ms` milliseconds, or back: no time passes, and nobody who sleeps is woken. */
  set(ms: number): void {
    this.startMs += ms;
  }

  override sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        this.sleepers.delete(sleeper);
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      const sleeper = { dueMs: this.elapsedMs + Math.max(0, ms), wake };
      this.sleepers.add(sleeper);
      signal?.addEventListener('abort', wake);
    });
  }

  /** How many sleepers there are: a test waits for them before it moves time on. */
  get sleeping(): number {
    return this.sleepers.size;
  }

  /**
   * Moves time on by `ms` milliseconds and wakes all sleepers that are due on the way, each at its own moment. What one of them
   * does in memory is done before the next wakes; for I/O, a test has to wait for its effect.
   */
  async advance(ms: number): Promise<void> {
    const untilMs = this.elapsedMs + ms;
    await turn();
    while (true) {
      const due = [...this.sleepers].filter((sleeper) => sleeper.dueMs <= untilMs);
      const next = due.sort((a, b) => a.dueMs - b.dueMs)[0];
      if (next === undefined) break;
      this.elapsedMs = next.dueMs;
      next.wake();
      await turn();
    }
    this.elapsedMs = untilMs;
  }
}
