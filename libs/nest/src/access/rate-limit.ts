/**
 * How many requests a caller, or an address, may send to all instances of a service together. Each instance counts for
 * itself, and tells the count that all share whenever it has counted another tenth of the limit. So no request waits for
 * the database, whoever stays below a tenth costs no statement, and neither does who is over the limit:
 *
 *   request ─▶ own count ─┬─ below the limit ─▶ goes on ─▶ every tenth of the limit: shared count, whose sum is ours then
 *                         └─ at the limit ────▶ 429 until the window ends
 *
 * Two instances can let pass two tenths more than the limit, because each may not have told a tenth yet. While the
 * database is away each instance counts alone.
 */
import type { FastifyReply } from 'fastify';
import { LRUCache } from 'lru-cache';
import { isIP } from 'node:net';
import { isUnavailable, type Clock, type Log } from '#runtime';
import type { BaseConfig, Rate } from '#service';
import { Problem } from '../http/problem.js';

/** What all instances of a service have counted. */
export interface SharedCounts {
  /** Adds to the count of `key`. A window that begins with this lasts `seconds`. */
  add(
    key: string,
    requests: number,
    seconds: number,
  ): Promise<{ readonly requests: number; readonly endsInMs: number }>;
}

/** How many are counted at a time; of more, those that were not heard for longest begin anew. */
const MAX_COUNTS = 10_000;

/** Which part of the limit is counted before the others are told. */
const TOLD_PART = 0.1;

/** For how long after a failure nothing is told. */
const RETRY_MS = 1_000;

/** The requests of one sender in a window. */
interface Count {
  /** Of all instances, as far as this one knows. */
  requests: number;
  /** Those of them that the others have not been told of. */
  untold: number;
  endsMs: number;
  isTelling: boolean;
  isRefused: boolean;
}

export type RateLimitSettings = Pick<BaseConfig, 'RATE_LIMIT_PER_CALLER' | 'RATE_LIMIT_PER_ADDRESS'>;

export interface RateLimitPorts {
  readonly clock: Clock;
  readonly log: Log;
  /** Where instances share their counts; without, each has its own. */
  readonly shared?: SharedCounts;
}

export class RateLimit {
  private readonly counts = new LRUCache<string, Count>({ max: MAX_COUNTS });
  private readonly policy: string;
  private readonly tellEvery: number;
  private retryMs = -Infinity;

  /** `whose` is what a key names. */
  constructor(
    private readonly whose: 'caller' | 'address',
    private readonly rate: Rate,
    private readonly ports: RateLimitPorts,
  ) {
    this.policy = `"${whose}";q=${rate.requests};w=${rate.perMs / 1_000}`;
    this.tellEvery = Math.max(1, Math.floor(rate.requests * TOLD_PART));
  }

  /**
   * Counts a request, and says in the headers of its answer how many are left. What is returned takes it back.
   * @throws Problem 429 when there were too many
   */
  count(key: string, reply: FastifyReply): () => void {
    const nowMs = this.ports.clock.monotonicMs();
    const count = this.countOf(key, nowMs);
    const seconds = Math.max(1, Math.ceil((count.endsMs - nowMs) / 1_000));
    const isOver = count.requests >= this.rate.requests;
    if (!isOver) {
      count.requests++;
      count.untold++;
    }
    // draft-ietf-httpapi-ratelimit-headers: quota and window of the policy; what remains, and for how long.
    const left = Math.max(0, this.rate.requests - count.requests);
    reply.header('ratelimit-policy', this.policy).header('ratelimit', `"${this.whose}";r=${left};t=${seconds}`);
    if (isOver) this.refuse(key, count, seconds, reply);
    const { shared } = this.ports;
    if (shared && count.untold >= this.tellEvery && !count.isTelling && nowMs >= this.retryMs) {
      void this.tell(shared, key, count);
    }
    return () => {
      count.requests--;
      count.untold--;
    };
  }

  private countOf(key: string, nowMs: number): Count {
    const found = this.counts.get(key);
    if (found && found.endsMs > nowMs) return found;
    const begun = { requests: 0, untold: 0, endsMs: nowMs + this.rate.perMs, isTelling: false, isRefused: false };
    this.counts.set(key, begun);
    return begun;
  }

  /** It is logged once in a window: a flood must not fill the log. */
  private refuse(key: string, count: Count, seconds: number, { request }: FastifyReply): never {
    const { whose } = this;
    if (!count.isRefused) {
      const { correlationId } = request.cause;
      this.ports.log.warn({ correlationId, [whose]: key, seconds }, `Requests of one ${whose} are refused: too many.`);
    }
    count.isRefused = true;
    const sent = whose === 'caller' ? 'You have sent' : 'Your address has sent, without a valid access token,';
    throw new Problem(429, 'too-many-requests', `${sent} too many requests. Try again in ${seconds} s.`, {
      extras: { limit: whose },
      headers: { 'retry-after': `${seconds}` },
    });
  }

  private async tell(shared: SharedCounts, key: string, count: Count): Promise<void> {
    const { clock, log } = this.ports;
    const told = count.untold;
    count.isTelling = true;
    try {
      // Rounded down: a window that ends too early refuses nobody whom it should not.
      const seconds = Math.max(1, Math.floor((count.endsMs - clock.monotonicMs()) / 1_000));
      const all = await shared.add(`${this.whose}:${key}`, told, seconds);
      count.untold -= told;
      count.requests = all.requests + count.untold;
      count.endsMs = clock.monotonicMs() + all.endsInMs;
    } catch (error) {
      this.retryMs = clock.monotonicMs() + RETRY_MS;
      const level = isUnavailable(error) ? 'debug' : 'error';
      log[level]({ err: error }, 'Requests are counted by this instance alone, until the database can be written.');
    } finally {
      count.isTelling = false;
    }
  }
}

export interface RateLimits {
  readonly perCaller: RateLimit;
  /** Of requests that show no valid access token. */
  readonly perAddress: RateLimit;
}

export function rateLimits(
  { RATE_LIMIT_PER_CALLER, RATE_LIMIT_PER_ADDRESS }: RateLimitSettings,
  ports: RateLimitPorts,
): RateLimits {
  return {
    perCaller: new RateLimit('caller', RATE_LIMIT_PER_CALLER, ports),
    perAddress: new RateLimit('address', RATE_LIMIT_PER_ADDRESS, ports),
  };
}

/**
 * What counts as one address: of IPv6 the first 64 bits, because whoever has one address has all that begin with them. An
 * IPv4 address that was received by IPv6 is itself.
 */
export function networkOf(address: string): string {
  const [, v4] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address) ?? [];
  if (v4 !== undefined || isIP(address) !== 6) return v4 ?? address;
  const [before = '', after] = address.split('::').map((part) => part.split(':').filter((group) => group !== ''));
  const left = before as string[];
  const zeros = Array.from({ length: Math.max(0, 8 - left.length - (after?.length ?? 0)) }, () => '0');
  const groups = after === undefined ? left : [...left, ...zeros, ...after];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}
