/**
 * The circuit of a service: after so many failed calls in a row none is made but one a second, whose success closes it.
 *
 *   (closed) ── 10 calls in a row fail ──▶ (open): one call a second ── a call succeeds ──▶ (closed)
 *
 * Not cockatiel's, as around the payment provider (ADR 0034): whoever calls while it tries would wait for that one call, and
 * one that asks to wait for its answer takes half a minute.
 */
import type { Clock } from '#runtime';

const FAILURES = 10;
const TRY_EVERY_MS = 1_000;

export class Circuit {
  private failures = 0;
  private nextTryMs = 0;

  constructor(private readonly clock: Clock) {}

  get isOpen(): boolean {
    return this.failures >= FAILURES;
  }

  /** Whether a call may be made. Of an open circuit, whoever is told so makes the next try. */
  admits(): boolean {
    if (!this.isOpen) return true;
    const nowMs = this.clock.monotonicMs();
    if (nowMs < this.nextTryMs) return false;
    this.nextTryMs = nowMs + TRY_EVERY_MS;
    return true;
  }

  /** Returns whether that has closed it. */
  succeeded(): boolean {
    const wasOpen = this.isOpen;
    this.failures = 0;
    return wasOpen;
  }

  /** Returns whether that has opened it. */
  failed(): boolean {
    if (++this.failures !== FAILURES) return false;
    this.nextTryMs = this.clock.monotonicMs() + TRY_EVERY_MS;
    return true;
  }
}
