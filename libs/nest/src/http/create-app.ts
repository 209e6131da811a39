/**
 * The HTTP side that every service has: Nest on Fastify, with problems for errors, correlation, deadlines, metrics,
 * health and API documentation. What it serves itself is registered with Fastify directly: a probe needs no controller.
 */
import type { DynamicModule, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Clock, Ids } from '#runtime';
import type { Background } from '../boot/background.js';
import { causeOf } from './correlation.js';
import { AnswerInterceptor } from './answer.js';
import { enforceDeadlines } from './deadlines.js';
import type { Health } from '../boot/health.js';
import { NestLog } from '../boot/logger.js';
import type { Metrics } from '../boot/metrics.js';
import { serveDocs } from './openapi.js';
import { ProblemFilter, RequestValidationPipe } from './problem.js';

/** Bytes. The largest order has a hundred lines and is far smaller. */
const BODY_LIMIT = 100 * 1024;

export interface HttpOptions {
  /** The service's name: `order`. */
  readonly name: string;
  readonly module: Type | DynamicModule;
  /** Keeps the bytes of each body as `request.rawBody`, for signatures. */
  readonly rawBody?: boolean;
}

export interface HttpParts {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
  readonly background: Background;
  readonly health: Health;
  readonly metrics: Metrics;
  readonly requestTimeoutMs: number;
  readonly readTimeoutMs: number;
}

/** The application, ready to `listen`. */
export async function createApp(options: HttpOptions, parts: HttpParts): Promise<NestFastifyApplication> {
  const { ids, log } = parts;
  const adapter = new FastifyAdapter({
    bodyLimit: BODY_LIMIT,
    connectionTimeout: 60_000,
    requestTimeout: 15_000, // For a whole request to arrive: a slower sender is not a customer.
    trustProxy: false,
    return503OnClosing: false, // A request on an open connection is still answered; the connection then ends.
    genReqId: () => ids.next(),
    // A URL that cannot be routed is reported here, before any hook.
    frameworkErrors(error: Error, request: FastifyRequest, reply: FastifyReply) {
      request.cause = causeOf(request.headers, request.id);
      filter.answer(error, request, reply);
    },
  });
  const http: FastifyInstance = adapter.getInstance();
  const filter = new ProblemFilter(adapter, log, collectRoutes(http));
  http.decorate('larder', { name: options.name, readTimeoutMs: parts.readTimeoutMs });
  observe(http, parts);
  parts.background.run(enforceDeadlines(http, parts.clock, parts.requestTimeoutMs));

  const app = await NestFactory.create<NestFastifyApplication>(options.module, adapter, {
    logger: new NestLog(log),
    abortOnError: false,
    bodyParser: false, // JSON is the only type of body, and Fastify has its own parser for it.
  });
  http.removeContentTypeParser('text/plain');
  if (options.rawBody) adapter.useBodyParser('application/json', true, { bodyLimit: BODY_LIMIT });
  app.useGlobalFilters(filter);
  app.useGlobalPipes(new RequestValidationPipe());
  app.useGlobalInterceptors(new AnswerInterceptor());
  app.useSecurityHeaders({
    // The page at /docs is served over plain HTTP on a developer's machine.
    contentSecurityPolicy: { directives: { upgradeInsecureRequests: null } },
    strictTransportSecurity: false, // Belongs to the proxy that terminates TLS.
    originAgentCluster: false,
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false,
  });
  serveHealth(http, parts);
  serveDocs(http, () => app, `Larder: ${options.name}`);
  return app;
}

/** Adds correlation, and a log line and a measurement for every request. */
function observe(http: FastifyInstance, { log, metrics, background }: HttpParts): void {
  http.decorateRequest('cause');
  http.addHook('onRequest', (request, reply, done) => {
    request.cause = causeOf(request.headers, request.id);
    reply.header('x-correlation-id', request.cause.correlationId);
    done();
  });
  http.addHook('onResponse', (request, reply, done) => {
    const { method, cause } = request;
    const route = request.routeOptions.url ?? 'unknown';
    const ms = reply.elapsedTime;
    metrics.observeRequest(method, route, reply.statusCode, ms);
    log.debug({ correlationId: cause.correlationId, method, route, status: reply.statusCode, ms }, 'Answered.');
    // A connection that was busy when the server stopped listening would otherwise stay open until its idle timeout.
    if (background.stopping.aborted) request.raw.socket.end();
    done();
  });
}

function serveHealth(http: FastifyInstance, { health, metrics }: HttpParts): void {
  http.get('/health/live', () => ({ status: 'live' }));
  http.get('/health/ready', async (_request, reply) => {
    const readiness = await health.ready();
    return reply.status(readiness.status === 'ready' ? 200 : 503).send(readiness);
  });
  http.get('/metrics', async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
}

/** Collects routes as they are added, and returns which methods a path has: the difference between 404 and 405. */
function collectRoutes(http: FastifyInstance): (path: string) => readonly string[] {
  const routes = new Map<string, { readonly pattern: RegExp; readonly methods: Set<string> }>();
  http.addHook('onRoute', ({ url, method }) => {
    const route = routes.get(url) ?? { pattern: patternOf(url), methods: new Set() };
    for (const each of [method].flat()) route.methods.add(each);
    routes.set(url, route);
  });
  return (path) => {
    const matching = [...routes.values()].filter(({ pattern }) => pattern.test(path));
    return [...new Set(matching.flatMap(({ methods }) => [...methods]))].sort();
  };
}

function patternOf(url: string): RegExp {
  const escaped = url.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/:[^/]+/g, '[^/]+');
  return new RegExp(`^${escaped}/?$`);
}
