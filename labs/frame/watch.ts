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

  /** The order is decided: its units are sold, or given back. */
  decided(orderId: string): void {
    const fromMs = this.held.get(orderId);
    if (fromMs !== undefined) this.holds.push({ orderId, fromMs, toMs: this.nowMs() });
    this.held.delete(orderId);
  }
}
