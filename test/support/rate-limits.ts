/** Rate limits for specs: a count that instances share in this process, and limits that no spec reaches by accident. */
import {
  type RateLimitPorts,
  rateLimits,
  type RateLimitSettings,
  type SharedCounts,
} from '../../libs/nest/src/access/rate-limit.js';
import type { Clock } from '#runtime';

/** The shared counts, without a database. `said` is all that it was told. */
export class MemoryCounts implements SharedCounts {
  readonly said: { key: string; requests: number; seconds: number }[] = [];
  private readonly windows = new Map<string, { requests: number; endsMs: number }>();

  constructor(private readonly clock: Clock) {}

  add(key: string, requests: number, seconds: number) {
    this.said.push({ key, requests, seconds });
    const nowMs = this.clock.monotonicMs();
    const found = this.windows.get(key);
    const window = found && found.endsMs > nowMs ? found : { requests: 0, endsMs: nowMs + seconds * 1_000 };
    window.requests += requests;
    this.windows.set(key, window);
    return Promise.resolve({ requests: window.requests, endsInMs: window.endsMs - nowMs });
  }
}

export function limitsOf(
  ports: Omit<RateLimitPorts, 'shared'> & Partial<RateLimitPorts>,
  { perCaller = 100_000, perAddress = 100_000 } = {},
) {
  const settings: RateLimitSettings = {
    RATE_LIMIT_PER_CALLER: { requests: perCaller, perMs: 10_000 },
    RATE_LIMIT_PER_ADDRESS: { requests: perAddress, perMs: 10_000 },
  };
  return rateLimits(settings, { shared: new MemoryCounts(ports.clock), ...ports });
}
