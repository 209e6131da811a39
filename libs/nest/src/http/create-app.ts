/**
 * The HTTP side that every service has: Nest on Fastify, with problems for errors, correlation, deadlines, metrics,
 * health and API documentation. What it serves itself is registered with Fastify directly: a probe needs no controller.
 */
import type { DynamicModule, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Clock, Ids } from '#runtime';
import type { AccessTable } from '#service';
import { guardRoutes } from '../access/guard.js';
import type { RateLimits } from '../access/rate-limit.js';
import type { Tokens } from '../access/tokens.js';
import type { Background } from '../boot/background.js';
import { causeOf } from './correlation.js';
import { unwrapAnswers } from './answer.js';
import { ARRIVAL_LIMITS, type ArrivalLimits, BrokenRequests } from './broken-requests.js';
import { enforceDeadlines } from './deadlines.js';
import { refuseForeign } from './foreign.js';
import type { Health } from '../boot/health.js';
import { NestLog } from '../boot/logger.js';
import type { Metrics } from '../boot/metrics.js';
import { jsonParser } from './json-body.js';
import { answerUnrouted } from './methods.js';
import { type OpenApi, openApiDocument, serveDocs } from './openapi.js';
import { ProblemFilter, RequestValidationPipe } from './problem.js';
import { UnknownInputGuard } from './unknown-input.js';

/** Bytes. The largest order has a hundred lines and is far smaller. */
const BODY_LIMIT = 100 * 1024;

/** What pages may load and do: what is their own. Nothing is inline, and nobody frames them. */
const PAGES_MAY = {
  defaultSrc: ["'none'"],
  scriptSrc: ["'self'"],
  styleSrc: ["'self'"],
  connectSrc: ["'self'"],
  imgSrc: ["'self'", 'data:'],
  formAction: ["'self'"],
  frameAncestors: ["'none'"],
  baseUri: ["'none'"],
};

export interface HttpOptions {
  /** The service's name: `order`. */
  readonly name: string;
  readonly module: Type | DynamicModule;
  /** Who may call which route of the module. */
  readonly access: AccessTable;
  /** Keeps the bytes of each body as `request.rawBody`, for signatures. */
  readonly rawBody?: boolean;
  /** Adds hooks that run before the caller is known. */
  readonly beforeAccess?: (http: FastifyInstance) => void;
  /** Adds routes besides those of the module. */
  readonly routes?: (http: FastifyInstance) => void;
  /** Makes the OpenAPI document; default: that of the module's routes. */
  readonly document?: (request: FastifyRequest) => Promise<OpenApi>;
}

export interface HttpParts {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
  readonly background: Background;
  readonly health: Health;
  readonly metrics: Metrics;
  readonly tokens: Tokens;
  readonly rateLimits: RateLimits;
  readonly requestTimeoutMs: number;
  readonly readTimeoutMs: number;
  /** The origins whose pages may read answers; default: none. */
  readonly corsOrigins?: readonly string[] | undefined;
  /** The names that the service is called by, besides those that always are; default: none. */
  readonly allowedHosts?: readonly string[];
  /** The proxies that say in X-Forwarded-For who calls; default: none. */
  readonly trustedProxies?: readonly string[];
  /** How long requests may take to arrive; default: ARRIVAL_LIMITS. */
  readonly limits?: ArrivalLimits;
}

/** The application, ready to `listen`. */
export async function createApp(options: HttpOptions, parts: HttpParts): Promise<NestFastifyApplication> {
  const { ids, log, metrics, corsOrigins = [], allowedHosts = [], trustedProxies = [] } = parts;
  const { limits = ARRIVAL_LIMITS } = parts;
  const broken = new BrokenRequests(ids, log);
  const adapter = new FastifyAdapter({
    bodyLimit: BODY_LIMIT,
    connectionTimeout: 60_000,
    requestTimeout: limits.requestMs,
    http: {
      headersTimeout: limits.headersMs,
      connectionsCheckingInterval: limits.checkEveryMs,
      requireHostHeader: false, // BrokenRequests does, with a problem.
    },
    clientErrorHandler: (error, socket) => broken.answer(error, socket),
    trustProxy: trustedProxies.length > 0 && [...trustedProxies],
    return503OnClosing: false, // A request on an open connection is still answered; the connection then ends.
    genReqId: () => ids.next(),
    // A URL that cannot be routed is reported here, before any hook.
    frameworkErrors(error: Error, request: FastifyRequest, reply: FastifyReply) {
      begin(request, reply);
      filter.answer(error, request, reply);
    },
  });
  const http: FastifyInstance = adapter.getInstance();
  const refused = 'larder_requests_refused_total';
  const count = metrics.counter(refused, 'Requests that were refused to their caller, by code.', ['code']);
  const filter = new ProblemFilter(adapter, log, (code) => count({ code }));
  http.decorate('larder', { name: options.name, readTimeoutMs: parts.readTimeoutMs });
  observe(http, parts);
  broken.watch(http);
  refuseForeign(http, { allowedHosts, corsOrigins });
  unwrapAnswers(http);
  answerUnrouted(http, corsOrigins);
  options.beforeAccess?.(http);
  guardRoutes(http, options.access, parts);
  const { background, clock, requestTimeoutMs } = parts;
  background.run(enforceDeadlines(http, clock, requestTimeoutMs, background.stopping));

  const app = await NestFactory.create<NestFastifyApplication>(options.module, adapter, {
    logger: new NestLog(log),
    abortOnError: false,
    bodyParser: false, // JSON is the only type of body.
  });
  http.removeContentTypeParser('text/plain');
  adapter.useBodyParser('application/json', options.rawBody ?? false, { bodyLimit: BODY_LIMIT }, jsonParser(http));
  app.useGlobalFilters(filter);
  app.useGlobalGuards(new UnknownInputGuard());
  app.useGlobalPipes(new RequestValidationPipe());
  app.useSecurityHeaders({
    contentSecurityPolicy: { useDefaults: false, directives: PAGES_MAY },
    strictTransportSecurity: false, // Belongs to the proxy that terminates TLS.
    originAgentCluster: false,
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false,
  });
  options.routes?.(http);
  serveHealth(http, parts);
  let found: Promise<OpenApi> | undefined;
  const ofModule = () => (found ??= openApiDocument(app, `Larder: ${options.name}`, options.access));
  serveDocs(http, options.document ?? ofModule);
  return app;
}

/** What every request and its answer have, also when no hook runs for them. */
function begin(request: FastifyRequest, reply: FastifyReply): void {
  request.cause = causeOf(request.headers, request.id);
  reply.header('x-correlation-id', request.cause.correlationId);
  reply.header('cache-control', 'no-store');
  // An empty body is none, whatever its type is said to be: Fastify would have it parsed.
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
  if (length === '0' || (length === undefined && encoding === undefined)) delete request.headers['content-type'];
}

/** Adds correlation, and a log line and a measurement for every request. */
function observe(http: FastifyInstance, { log, metrics, background, health }: HttpParts): void {
  http.decorateRequest('cause');
  http.addHook('onRequest', (request, reply, done) => {
    begin(request, reply);
    // Whoever keeps this connection does not ask a balancer, and learns here that the next request goes elsewhere.
    if (health.stopping) reply.header('connection', 'close');
    done();
  });
  http.addHook('onResponse', (request, reply, done) => {
    const { method, cause } = request;
    const route = request.routeOptions.url ?? 'unknown';
    const ms = reply.elapsedTime;
    metrics.observeRequest(method, route, reply.statusCode, ms);
    log.debug({ correlationId: cause.correlationId, method, route, status: reply.statusCode, ms }, 'Answered.');
    // A connection that was busy when the server stopped listening would otherwise stay open until its idle timeout.
    if (background.stopping.aborted && request.raw.socket instanceof Socket) request.raw.socket.end();
    done();
  });
}

function serveHealth(http: FastifyInstance, { health, metrics }: HttpParts): void {
  http.get('/health/live', () => ({ status: 'live' }));
  http.get('/health/ready', async (_request, reply) => {
    const readiness = await health.ready();
    const takesRequests = readiness.status === 'ready' || readiness.status === 'degraded';
    return reply.status(takesRequests ? 200 : 503).send(readiness);
  });
  http.get('/metrics', async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
}
