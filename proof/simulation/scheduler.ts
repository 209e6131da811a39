/**
 * The one clock of a simulated world. Whatever takes time, a step of a service, a sleep, a customer who thinks, is an
 * entry with the moment at which it is over; the earliest is carried out, everything that follows from it in memory is
 * done, and only then the next one. Nothing else moves anything, so the same seed gives the same world.
 */
import { setMaxListeners } from 'node:events';
import { Clock } from '#runtime';

/** Something that will happen; `cancel` it and it does not. */
export interface Entry {
  readonly atMs: number;
  cancel(): void;
}

interface Queued extends Entry {
  readonly seq: number;
  /** Sleeps and plans may wait for long; all else is on its way. */
  readonly idle: boolean;
  run: (() => void) | undefined;
}

export class Scheduler {
  /** A binary heap, the earliest first, and of those at the same moment the one that was entered first. */
  private readonly heap: Queued[] = [];
  private nowAtMs = Date.parse('2026-01-01T00:00:00.000Z');
  private entered = 0;
  private underWay = 0;
  /** How many entries were carried out. */
  steps = 0;

  /** Virtual milliseconds since 1970, with fractions. */
  get nowMs(): number {
    return this.nowAtMs;
  }

  /** Whether nothing is under way: all that is left are sleeps and plans. */
  get quiet(): boolean {
    return this.underWay === 0;
  }

  /** Carries `run` out after `ms` virtual milliseconds: something that is under way until then. */
  after(ms: number, run: () => void): Entry {
    this.underWay++;
    return this.enter(ms, run, false);
  }

  /** Like `after`, for what only waits for its time. */
  idleUntil(ms: number, run: () => void): Entry {
    return this.enter(ms, run, true);
  }

  /** Sleeps, as something that only waits for its time. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.idleUntil(ms, resolve));
  }

  /** Carries out the next entry and all that follows from it in memory. False when there is none. */
  async step(): Promise<boolean> {
    for (let next = this.take(); next; next = this.take()) {
      const { run } = next;
      if (!run) continue;
      next.run = undefined;
      if (!next.idle) this.underWay--;
      this.nowAtMs = Math.max(this.nowAtMs, next.atMs);
      this.steps++;
      run();
      await new Promise(setImmediate);
      return true;
    }
    return false;
  }

  /** Moves the time on at once, as if all machines had been stopped together: what was due meanwhile comes late. */
  leap(ms: number): void {
    this.nowAtMs += ms;
  }

  private enter(ms: number, run: () => void, idle: boolean): Entry {
    const entry: Queued = {
      atMs: this.nowAtMs + Math.max(0, ms),
      seq: this.entered++,
      idle,
      run,
      cancel: () => {
        if (!entry.run) return;
        entry.run = undefined;
        if (!idle) this.underWay--;
      },
    };
    const { heap } = this;
    let i = heap.push(entry) - 1;
    for (let parent = (i - 1) >> 1; i > 0 && before(entry, heap[parent]!); parent = (i - 1) >> 1) {
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = entry;
    return entry;
  }

  private take(): Queued | undefined {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || first === last) return first;
    let i = 0;
    for (let child = 1; child < heap.length; child = 2 * i + 1) {
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return first;
  }
}

function before(a: Queued, b: Queued): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.seq < b.seq);
}

/** The clock of a process in the simulated world: once it is killed, it never wakes again. */
export class VirtualClock extends Clock {
  constructor(
    private readonly scheduler: Scheduler,
    private readonly alive: () => boolean = () => true,
    /** How far its machine's clock is from that of the world. */
    private readonly wrongByMs: () => number = () => 0,
  ) {
    super();
  }

  override now(): Date {
    return new Date(Math.floor(this.scheduler.nowMs + this.wrongByMs()));
  }

  override monotonicMs(): number {
    return this.scheduler.nowMs;
  }

  override sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (!this.alive()) return new Promise(() => {});
    if (signal?.aborted) return Promise.resolve();
    if (signal) setMaxListeners(0, signal); // Many may sleep at one signal.
    return new Promise((resolve) => {
      const wake = () => {
        entry.cancel();
        signal?.removeEventListener('abort', wake);
        if (this.alive()) resolve();
      };
      const entry = this.scheduler.idleUntil(ms, wake);
      signal?.addEventListener('abort', wake);
    });
  }
}
