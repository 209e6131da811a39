/**
 * Forwards every route of the services to an instance of its service.
 *
 *   request  ─▶ path and Connection are looked at ─▶ read whole, 100 kB at most ─▶ calls.ts ─▶ an instance
 *   answer  ◀─ as the service gives it; a long one while it comes ◀───────────────────────────────┘
 *
 * Nothing is forwarded that two readers could read in two ways, or that is between the client and the gateway alone: the
 * cookies are the gateway's, and who calls is what it knows of the connection. A request is read before it is sent, so that a slow
 * sender takes no instance's time and it can be sent to another; a long answer is not, so whoever reads slowly costs no memory.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { IncomingHttpHeaders } from 'node:http';
import { extendDeadline, networkOf, parsePreferWait, Problem } from '#nest';
import { type GatewayConfig, routesOf, type ServiceRoute } from '../definition.js';
import { type Calls, Waiter } from './calls.js';

/** What a service may take longer than its REQUEST_TIMEOUT to say that it took too long. */
const MARGIN_MS = 1_000;

/** Headers of one connection (RFC 9110, section 7.6.1), which `Connection` may name. They do not pass. */
const OF_A_CONNECTION = new Set([
  'close',
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** What the client says of itself and of others on the way, as is `X-Forwarded-*`, and what is said anew to the service. */
const NOT_SENT = new Set([
  'forwarded',
  'via',
  'x-real-ip',
  'x-correlation-id',
  'cookie',
  'host',
  'content-length',
  'expect',
]);

/** What the gateway says of itself: its limits are reached first, because they count for all services together. */
const NOT_PASSED = new Set(['set-cookie', 'ratelimit', 'ratelimit-policy']);
/** When a service's limits are reached nevertheless, they are what counts. */
const NOT_PASSED_OF_A_LIMIT = new Set(['set-cookie']);

/** Dots between slashes, slashes and NUL that are encoded, and what else readers of a path disagree about. */
const AMBIGUOUS = /%(?:2f|5c|00)|[\\#]|\/(?:\.|%2e){1,2}(?:\/|$)/i;

export function forwardRoutes(
  http: FastifyInstance,
  { calls, config }: { readonly calls: Calls; readonly config: GatewayConfig },
): void {
  void http.register((forwarding, _options, done) => {
    // A body is the service's to understand: here it passes as it is.
    forwarding.removeAllContentTypeParsers();
    forwarding.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, parsed) => parsed(null, body));
    for (const route of routesOf(config)) {
      forwarding.route({
        method: route.method === 'GET' ? ['GET', 'HEAD'] : [route.method],
        url: route.path,
        onRequest: (request, _reply, next) => next(refusalOf(request, route)),
        handler: (request, reply) => forward(request, reply, route, calls, config),
      });
    }
    done();
  });
}

function refusalOf({ raw, headers }: FastifyRequest, { prefix }: ServiceRoute): Problem | undefined {
  const [path = ''] = targetOf(raw.url!).split('?', 1);
  if (AMBIGUOUS.test(path) || !path.startsWith(`${prefix}/`)) {
    return new Problem(
      400,
      'bad-request',
      'The path can be read in several ways. Send it without dots or encoded slashes.',
    );
  }
  const named = namesIn(headers.connection).filter((name) => !OF_A_CONNECTION.has(name));
  if (named.length === 0) return undefined;
  return new Problem(
    400,
    'bad-request',
    `Connection names ${named.join(', ')}, which is for the service. Leave it out.`,
  );
}

function forward(
  request: FastifyRequest,
  reply: FastifyReply,
  { service, prefix }: ServiceRoute,
  calls: Calls,
  { REQUEST_TIMEOUT, READ_TIMEOUT }: GatewayConfig,
): void {
  const { raw, headers, ip, caller, body } = request;
  const readMs = headers['larder-position'] === undefined ? 0 : READ_TIMEOUT;
  const withinMs = REQUEST_TIMEOUT + MARGIN_MS + readMs + (parsePreferWait(headers.prefer) ?? 0);
  extendDeadline(request, 2 * withinMs); // There may be a second try.
  const waiter = new Waiter();
  // After an answer there is nothing to give up.
  reply.raw.once('close', () => reply.raw.writableFinished || waiter.leave());
  const sent = ['x-correlation-id', request.cause.correlationId, 'x-forwarded-for', ip];
  pass(headers, NOT_SENT, (name, value) => sent.push(name, String(value)));
  calls
    .call({
      service,
      method: raw.method!,
      path: targetOf(raw.url!).slice(prefix.length),
      headers: sent,
      body: body as Buffer | undefined,
      caller: caller?.subject ?? networkOf(ip),
      withinMs,
      waiter,
    })
    .then((answer) => {
      request.isForwarded = true;
      const notPassed = answer.status === 429 ? NOT_PASSED_OF_A_LIMIT : NOT_PASSED;
      pass(answer.headers, notPassed, (name, value) => reply.header(name, value));
      reply.code(answer.status).send(answer.body);
    })
    .catch((error: unknown) => (waiter.isGone ? reply.hijack() : reply.send(error)));
}

/** What is asked for, also of a request that names the gateway before it, as for a proxy. */
function targetOf(url: string): string {
  return url.replace(/^https?:\/\/[^/?#]*/i, '');
}

/** Says each header with `say`, without the unwanted, and without those of one connection. */
function pass(
  headers: IncomingHttpHeaders,
  unwanted: ReadonlySet<string>,
  say: (name: string, value: string | string[]) => unknown,
): void {
  const named = namesIn(headers.connection);
  for (const name of Object.keys(headers)) {
    const isKept =
      !OF_A_CONNECTION.has(name) && !unwanted.has(name) && !name.startsWith('x-forwarded-') && !named.includes(name);
    if (isKept) say(name, headers[name]!);
  }
}

function namesIn(connection = ''): readonly string[] {
  if (connection === '' || connection === 'keep-alive') return []; // That is nearly all of them.
  const names = connection.split(',').map((name) => name.trim().toLowerCase());
  return names.filter((name) => name !== '');
}
