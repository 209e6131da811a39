/** What a checkout does, as it does it: the story is told, the picture drawn, and the process killed by it. */
import type { Participant } from './way.js';

export interface Step {
  /** `commit the order` */
  readonly name: string;
  readonly at: Participant;
  readonly orderId: string;
}

export type Moment = 'before' | 'after';

/** A step that was done, from and to when, in milliseconds since the watch began. */
export interface Span extends Step {
  readonly fromMs: number;
  readonly toMs: number;
}

/** How long units were held for an order that was not decided. */
export interface Hold {
  readonly orderId: string;
  readonly fromMs: number;
  readonly toMs: number;
}

/** What one process has seen, for another one: times are in milliseconds since 1970. */
export interface Told {
  readonly spans: readonly Span[];
  /** Since when units are held, by the order. */
  readonly held: readonly (readonly [orderId: string, sinceMs: number])[];
}

export class Watch {
  readonly spans: Span[] = [];
  readonly holds: Hold[] = [];
  private readonly held = new Map<string, number>();
  private readonly beganMs = performance.now();

  /** `on` is called, and waited for, before and after each step. */
  constructor(private readonly on?: (moment: Moment, step: Step) => Promise<void>) {}

  nowMs(): number {
    return performance.now() - this.beganMs;
  }

  async step<T>(name: string, at: Participant, orderId: string, work: () => Promise<T>): Promise<T> {
    const step = { name, at, orderId };
    await this.on?.('before', step);
    const fromMs = this.nowMs();
    const result = await work();
    this.spans.push({ ...step, fromMs, toMs: this.nowMs() });
    await this.on?.('after', step);
    return result;
  }

  /** From here on nobody else gets the order's units, whether by a lock or by a reservation. */
  hold(orderId: string): void {
    if (!this.held.has(orderId)) this.held.set(orderId, this.nowMs());
  }

  tell(): Told {
    const originMs = performance.timeOrigin + this.beganMs;
    return {
      spans: this.spans.map((span) => ({ ...span, fromMs: span.fromMs + originMs, toMs: span.toMs + originMs })),
      held: [...this.held].map(([orderId, sinceMs]) => [orderId, sinceMs + originMs]),
    };
  }

  /** Adds what a process has seen that is no more. */
  add({ spans, held }: Told): void {
    const originMs = performance.timeOrigin + this.beganMs;
    this.spans.push(...spans.map((span) => ({ ...span, fromMs: span.fromMs - originMs, toMs: span.toMs - originMs })));
    for (const [orderId, sinceMs] of held) this.held.set(orderId, sinceMs - originMs);
  }

  /** The order is decided: its units are sold, or given back. */
  decided(orderId: string): void {
    const fromMs = this.held.get(orderId);
    if (fromMs !== undefined) this.holds.push({ orderId, fromMs, toMs: this.nowMs() });
    this.held.delete(orderId);
  }
}
