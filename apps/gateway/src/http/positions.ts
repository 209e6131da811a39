/**
 * Positions for callers who know nothing of them: what the answers of a session have shown stands in a signed cookie, so a
 * browser, or curl with a cookie jar, reads its own writes and never goes back in time.
 *
 *   request ─▶ its Larder-Position, and all cookies of gateways ─▶ Larder-Position to the service
 *   answer  ◀─ cookie of this gateway: the highest of the request's, the answer's, and what the caller was last given here
 *
 * Each gateway writes a cookie of its own name: of two, neither overwrites what the other has just given. And an answer that
 * was overtaken by a newer one does not set the cookie back.
 *
 * A service does not know a position that it gave before it was restored from a backup. Then those of the cookies are
 * forgotten, and what was only to be read is read without them.
 */
import { text } from 'node:stream/consumers';
import type { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { LRUCache } from 'lru-cache';
import { problemDocument, tryAgain } from '#nest';
import type { Ids } from '#runtime';
import {
  areEqual,
  formatPositions,
  highestOf,
  noPositions,
  openPositions,
  parsePositions,
  type Positions,
  sealPositions,
} from '../positions.js';
import { readInside } from './inside.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** What the caller's cookies say; undefined while nobody is known to call. */
    cookiePositions: CookiePositions | undefined;
  }
}

interface CookiePositions {
  /** The highest of all that are good. */
  readonly seen: Positions;
  readonly cookies: readonly Cookie[];
  /** The Larder-Position that the caller sent themself. */
  readonly sent: string | string[] | undefined;
}

/** What a caller was last given, and the cookie's value for it: signing it takes a while. */
interface Given {
  readonly positions: Positions;
  readonly value: string;
}

interface Cookie {
  readonly name: string;
  readonly value: string;
  /** Undefined when it is forged, or cut. */
  readonly positions: Positions | undefined;
}

const PREFIX = 'larder-at-';
const COOKIES = new RegExp(`(?:^|;) *(${PREFIX}[\\w-]{1,64})=([^;]*)`, 'g');

/** Read models are behind for milliseconds. */
const MAX_AGE_S = 15 * 60;

/** Of more cookies, this gateway's own takes the place of all. */
const MAX_COOKIES = 8;

/** How many callers are remembered; one has some hundred bytes. */
const MAX_CALLERS = 10_000;

export function keepPositions(
  http: FastifyInstance,
  { secrets, ids }: { readonly secrets: readonly string[]; readonly ids: Ids },
): void {
  const own = `${PREFIX}${ids.next().slice(-12)}`;
  const lastGiven = new LRUCache<string, Given>({ max: MAX_CALLERS });

  http.decorateRequest('cookiePositions', undefined);
  http.addHook('onRequest', (request, _reply, done) => {
    if (!request.caller) return done();
    const { cookie = '', 'larder-position': sent } = request.headers;
    const cookies = [...cookie.matchAll(COOKIES)].map(([, name = '', value = '']) => {
      return { name, value, positions: openPositions(value, name, secrets) };
    });
    const seen = highestOf(...cookies.map(({ positions = noPositions }) => positions));
    request.cookiePositions = { seen, cookies, sent };
    if (seen.size > 0) request.headers['larder-position'] = [sent ?? [], formatPositions(seen)].flat().join(', ');
    done();
  });

  http.addHook('onSend', async (request, reply, payload) => {
    const { caller, cookiePositions } = request;
    if (!caller || !cookiePositions) return payload;
    const { seen, cookies } = cookiePositions;
    const refusal = seen.size > 0 && reply.statusCode === 400 ? await readProblem(payload) : undefined;
    if (refusal?.code === 'unknown-position') {
      lastGiven.delete(caller.subject);
      drop(cookies, reply);
      return answerWithout(cookiePositions, request, reply);
    }
    drop(
      cookies.filter(({ positions }) => !positions),
      reply,
    );
    const shown = reply.getHeader('larder-position');
    if (shown !== undefined) {
      const before = lastGiven.get(caller.subject);
      const positions = highestOf(seen, before?.positions ?? noPositions, parsePositions(String(shown)));
      const isSame = before && areEqual(before.positions, positions);
      const given = isSame ? before : { positions, value: sealPositions(positions, own, secrets) };
      lastGiven.set(caller.subject, given);
      const others = cookies.filter(({ name }) => name !== own);
      if (cookies.length > MAX_COOKIES) drop(others, reply);
      if (!cookies.some((each) => each.name === own && each.value === given.value)) {
        setCookie(reply, own, given.value, MAX_AGE_S);
      }
    }
    return refusal?.text ?? payload;
  });
}

function drop(cookies: readonly Cookie[], reply: FastifyReply): void {
  for (const { name } of cookies) setCookie(reply, name, '', 0);
}

function setCookie(reply: FastifyReply, name: string, value: string, maxAgeS: number): void {
  const secure = reply.request.protocol === 'https' ? '; Secure' : '';
  reply.header('set-cookie', `${name}=${value}; Path=/; Max-Age=${maxAgeS}; HttpOnly; SameSite=Lax${secure}`);
}

/** The code of a problem, and its text. */
async function readProblem(payload: unknown): Promise<{ readonly text: string; readonly code?: string }> {
  const isWhole = typeof payload === 'string' || Buffer.isBuffer(payload);
  const read = isWhole ? String(payload) : await text(payload as Readable);
  try {
    return { text: read, code: (JSON.parse(read) as { code?: string }).code };
  } catch {
    return { text: read };
  }
}

/** Answers a read as it is answered without the cookies. Of a write, its caller is told that it was not done. */
async function answerWithout(
  { sent }: CookiePositions,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<string | Buffer> {
  const { method, raw, headers, cause } = request;
  if (method !== 'GET' && method !== 'HEAD') {
    const problem = tryAgain(
      'position-forgotten',
      'The shop was restored from a backup, and what you have last seen is gone. Nothing was written. Try again.',
    );
    reply.status(problem.status).headers(problem.headers).removeHeader('content-length');
    return JSON.stringify(problemDocument(problem, request.url.split('?', 1)[0]!, cause.correlationId));
  }
  const { prefer, 'if-none-match': match } = headers;
  const again = { prefer, 'if-none-match': match, 'larder-position': sent };
  const answer = await readInside(request, raw.url!, again, method);
  const { connection: _, 'transfer-encoding': __, ...found } = answer.headers;
  reply.removeHeader('content-length');
  reply.status(answer.statusCode).headers(found);
  return answer.rawPayload;
}
