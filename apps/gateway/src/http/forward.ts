/** Forwards every route of the services to an instance of its service. */
import replyFrom from '@fastify/reply-from';
import type { FastifyInstance, HTTPMethods } from 'fastify';
import { extendDeadline, parsePreferWait, tryAgain } from '#nest';
import { type GatewayConfig, serviceRoutes } from '../definition.js';
import type { Instances } from './instances.js';

/** What a service may take longer than its REQUEST_TIMEOUT to say that it took too long. */
const MARGIN_MS = 1_000;

export function forwardRoutes(
  http: FastifyInstance,
  { instances, config }: { instances: Instances; config: GatewayConfig },
): void {
  void http.register(async (forwarding) => {
    // A body is the service's to read: here it passes as it is.
    forwarding.removeAllContentTypeParsers();
    forwarding.addContentTypeParser('*', (_request, body, done) => done(null, body));
    await forwarding.register(replyFrom, { disableRequestLogging: true, disableCache: true });
    for (const { service, method, path, prefix } of serviceRoutes) {
      const methods = (method === 'GET' ? ['GET', 'HEAD'] : [method]) as HTTPMethods[];
      forwarding.route({
        method: methods,
        url: path,
        handler: (request, reply) => {
          const url = instances.next(service);
          if (url === undefined) throw tryAgain('unavailable', `No instance of ${service} is ready. Try again.`);
          const waitMs = (parsePreferWait(request.headers.prefer) ?? 0) + config.READ_TIMEOUT + MARGIN_MS;
          extendDeadline(request, waitMs + MARGIN_MS);
          return reply.from(request.raw.url!.slice(prefix.length), {
            getUpstream: () => url,
            timeout: config.REQUEST_TIMEOUT + waitMs,
            retryDelay: () => null,
            rewriteRequestHeaders: (_request, headers) => ({
              ...headers,
              'x-correlation-id': request.cause.correlationId,
              'x-forwarded-for': request.ip,
            }),
          });
        },
      });
    }
  });
}
