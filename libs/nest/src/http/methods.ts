/**
 * Requests that no route takes, answered before anything of their body is looked at:
 *
 *   the path has routes for other methods   405, or 204 for OPTIONS, with Allow
 *   it has none                             404
 *
 * Which methods a path has is asked of the router that routes the requests, so `Allow` cannot differ from what is done.
 * With CORS_ORIGINS, pages of these origins may read what they are answered, and a preflight is an OPTIONS like any other.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { POSITION_HEADER, PROVES_HEADER } from './position-header.js';
import { Problem } from './problem.js';

/** What scripts of another origin may read besides the body; a browser hides all other headers from them. */
const EXPOSED = [
  'Age',
  'ETag',
  'Larder-Cache',
  'Location',
  POSITION_HEADER,
  PROVES_HEADER,
  'Preference-Applied',
  'RateLimit',
  'RateLimit-Policy',
  'Retry-After',
  'X-Correlation-Id',
].join(', ');
/** What they may send. */
const ACCEPTED = [
  'Authorization',
  'Content-Type',
  'Idempotency-Key',
  'If-None-Match',
  POSITION_HEADER,
  'Prefer',
  'Traceparent',
  'X-Correlation-Id',
];
const PREFLIGHT_SECONDS = 600;

export function answerUnrouted(http: FastifyInstance, corsOrigins: readonly string[]): void {
  http.addHook('onRequest', (request, reply, done) => {
    const isAllowed = corsOrigins.length > 0 && allowOrigin(request, reply, corsOrigins);
    if (!request.is404 && isWhole(request.params)) return done();
    const path = request.url.split('?', 1)[0]!;
    const methods = methodsOf(http, path);
    if (methods.length === 0) return done(nothingAt(http, path));
    const allow = methods.join(', ');
    if (request.method !== 'OPTIONS') {
      return done(new Problem(405, 'method-not-allowed', `This path takes ${allow}.`, { headers: { allow } }));
    }
    if (isAllowed && request.headers['access-control-request-method'] !== undefined) {
      reply.header('access-control-allow-methods', allow);
      reply.header('access-control-allow-headers', ACCEPTED.join(', '));
      reply.header('access-control-max-age', PREFLIGHT_SECONDS);
    }
    reply.header('allow', allow).status(204).send();
  });
}

/** Lets a page of one of the origins read the answer. Without credentials: the API has no cookies, a token is a header. */
function allowOrigin(
  { headers: { origin } }: FastifyRequest,
  reply: FastifyReply,
  origins: readonly string[],
): boolean {
  reply.header('vary', 'Origin');
  if (origin === undefined || !origins.includes(origin)) return false;
  reply.header('access-control-allow-origin', origin);
  reply.header('access-control-expose-headers', EXPOSED);
  return true;
}

function methodsOf(http: FastifyInstance, url: string): string[] {
  const methods = http.supportedMethods.filter((method) => {
    const found = http.findRoute({ method, url });
    return found !== null && isWhole(found.params);
  });
  return methods.length === 0 ? [] : [...methods, 'OPTIONS'].sort();
}

/** The router takes an empty part of a path for a parameter, `/orders/` for `/orders/:orderId`; Nest, and we, do not. */
function isWhole(params: unknown): boolean {
  return !Object.values(params ?? {}).includes('');
}

function nothingAt(http: FastifyInstance, path: string): Problem {
  const shorter = path.replace(/\/+$/, '');
  const hasSlash = shorter !== path && methodsOf(http, shorter).length > 0;
  const remedy = hasSlash ? ' Leave out the slash at its end.' : '';
  return new Problem(404, 'not-found', `Nothing is at this path.${remedy}`);
}
