/**
 * A cache of answers that goes by position, so it needs not be told of writes: an answer that shows the store up to p stands
 * for every read with a position of p or less, for CACHE_TIME at most.
 *
 *   GET ─▶ who may read it (guard.ts) ─▶ kept, and proves enough ──────────────────────▶ hit
 *                                     ├─▶ another asks the same, for at least as much ─▶ its answer, if it is kept: hit
 *                                     └─▶ the service ─▶ kept ──────────────────────────▶ miss
 *
 * What an answer proves, the service says in Larder-Proves. Its Larder-Position may be higher: it covers what arrived while
 * the rows were read, which may not be in them. So an answer to a read without a position stands for such reads alone.
 *
 * Kept is only what definition.ts names, never personal data, and for staff by their roles, for a customer by their name.
 */
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { LRUCache } from 'lru-cache';
import { tryAgain } from '#nest';
import type { Clock } from '#runtime';
import type { Service } from '../../../shop.js';
import { keptRoutes, PERSONAL } from '../definition.js';
import { areWellFormed, parsePositions } from '../positions.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** What the service is asked for because it is not kept. */
    lookup: Lookup | undefined;
  }
}

interface Kept {
  readonly body: Buffer;
  readonly etag: string;
  /** Its Larder-Position. */
  readonly position: string;
  readonly proves: bigint;
  /** When it was asked for, in milliseconds of the monotonic clock. */
  readonly askedMs: number;
}

interface Lookup {
  readonly service: Service;
  readonly key: string;
  /** The position that it asks for. */
  readonly wanted: bigint;
  readonly askedMs: number;
  /** Undefined when there is nothing to keep. */
  readonly kept: Promise<Kept | undefined>;
  end(kept?: Kept): void;
}

const MAX_BYTES = 16 * 1024 * 1024;
const MAX_ANSWERS = 10_000;
/** Longer answers are not kept. */
const MAX_LENGTH = 256 * 1024;
/** What an answer takes besides its body, in bytes. */
const OVERHEAD = 500;

export function cacheAnswers(
  http: FastifyInstance,
  { clock, cacheTimeMs }: { readonly clock: Clock; readonly cacheTimeMs: number },
): void {
  const answers = new LRUCache<string, Kept>({
    max: MAX_ANSWERS,
    maxSize: MAX_BYTES,
    sizeCalculation: ({ body }, key) => body.length + key.length + OVERHEAD,
  });
  const lookups = new Map<string, Lookup>();

  http.decorateRequest('lookup', undefined);
  http.addHook('preHandler', async (request, reply) => {
    const service = keptRoutes.get(`${request.method} ${request.routeOptions.url}`);
    const { prefer, 'larder-position': position } = request.headers;
    // What the service refuses, it is to see.
    const isRefused = position !== undefined && !areWellFormed(String(position));
    if (!service || !request.caller || prefer !== undefined || isRefused) return undefined;
    const key = keyOf(request);
    const wanted = parsePositions(String(position ?? '')).get(service) ?? 0n;
    const found = kept(key, wanted) ?? (await shared(request, key, wanted));
    if (found) {
      const age = Math.floor((clock.monotonicMs() - found.askedMs) / 1_000);
      reply.headers({ 'larder-cache': 'hit', age });
      return reply.send(writeHead(found, service, reply));
    }
    request.lookup = begin({ service, key, wanted, askedMs: clock.monotonicMs() });
    // However it ends: its caller may be gone before there is an answer.
    reply.raw.once('close', () => request.lookup?.end());
    return undefined;
  });

  http.addHook('onSend', async ({ lookup }, reply, payload) => {
    if (!lookup) return payload;
    const body = await readBody(reply, payload);
    if (!body) {
      lookup.end();
      return payload;
    }
    const answer = {
      body,
      etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`,
      position: String(reply.getHeader('larder-position')),
      proves: parsePositions(String(reply.getHeader('larder-proves'))).get(lookup.service) ?? 0n,
      askedMs: lookup.askedMs,
    };
    const isKept = cacheTimeMs > 0 && !body.includes(PERSONAL);
    if (isKept) answers.set(lookup.key, answer);
    lookup.end(isKept ? answer : undefined);
    reply.header('larder-cache', 'miss');
    return writeHead(answer, lookup.service, reply);
  });

  function kept(key: string, wanted: bigint): Kept | undefined {
    const found = answers.get(key);
    return found && found.proves >= wanted && clock.monotonicMs() - found.askedMs < cacheTimeMs ? found : undefined;
  }

  /**
   * What another request is about to get. If that comes to nothing, everybody who waited asks for themself, in as much time
   * as they had: the other one has a deadline of its own.
   */
  async function shared(request: FastifyRequest, key: string, wanted: bigint): Promise<Kept | undefined> {
    const lookup = lookups.get(key);
    if (!lookup || lookup.wanted < wanted) return undefined;
    const leftMs = request.dueMs - clock.monotonicMs();
    request.dueMs = Infinity;
    const found = await lookup.kept;
    request.dueMs = clock.monotonicMs() + leftMs;
    return found && found.proves >= wanted ? found : undefined;
  }

  function begin(what: Omit<Lookup, 'kept' | 'end'>): Lookup {
    let resolve!: (kept?: Kept) => void;
    const promise = new Promise<Kept | undefined>((resolved) => (resolve = resolved));
    const lookup: Lookup = {
      ...what,
      kept: promise,
      end(found) {
        if (lookups.get(what.key) === lookup) lookups.delete(what.key);
        resolve(found);
      },
    };
    const isFurther = what.wanted > (lookups.get(what.key)?.wanted ?? -1n);
    if (cacheTimeMs > 0 && isFurther) lookups.set(what.key, lookup);
    return lookup;
  }
}

/** Staff see the same as others with the same roles, a customer what is their own. Parameters may come in any order. */
function keyOf({ caller, raw }: FastifyRequest): string {
  const { whose, subject, roles } = caller!;
  const [path, query = ''] = raw.url!.split('?', 2);
  const parameters = new URLSearchParams(query);
  parameters.sort();
  return `${whose} ${whose === 'own' ? subject : [...roles].sort().join()} ${path}?${parameters.toString()}`;
}

/** The body of an answer that may be kept. */
async function readBody(reply: FastifyReply, payload: unknown): Promise<Buffer | undefined> {
  const { statusCode } = reply;
  const [type, length, position] = ['content-type', 'content-length', 'larder-position'].map((name) => {
    return String(reply.getHeader(name) ?? '');
  });
  if (statusCode !== 200 || !/^application\/json\b/.test(type!) || position === '') return undefined;
  if (!/^\d+$/.test(length!) || Number(length) > MAX_LENGTH) return undefined;
  try {
    return Buffer.isBuffer(payload) ? payload : await buffer(payload as Readable);
  } catch (error) {
    throw tryAgain('unavailable', 'The answer of the service was cut off. Try again.', {}, error);
  }
}

/** Writes the head of an answer, and returns its body: none, for a caller who has it. */
function writeHead({ body, etag, position, proves }: Kept, service: Service, reply: FastifyReply): Buffer | string {
  reply.headers({ etag, 'larder-position': position, ...(proves > 0n && { 'larder-proves': `${service}:${proves}` }) });
  const known = (reply.request.headers['if-none-match'] ?? '').split(/ *, */);
  if (!known.some((each) => each === '*' || each.replace(/^W\//, '') === etag)) {
    reply.type('application/json; charset=utf-8');
    return body;
  }
  reply.status(304).removeHeader('content-length').removeHeader('content-type');
  return '';
}
