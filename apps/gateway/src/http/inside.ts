/** Requests of the gateway to its own routes, within the process: what limits and protects the services applies to them, too. */
import type { FastifyRequest } from 'fastify';

/** Reads `path` as the caller of `request`. Of `headers`, those that are undefined are not sent. */
export function readInside(
  request: FastifyRequest,
  path: string,
  headers: Readonly<Record<string, string | string[] | undefined>>,
  method: 'GET' | 'HEAD' = 'GET',
) {
  const { authorization, traceparent } = request.headers;
  const all = { authorization, traceparent, 'x-correlation-id': request.cause.correlationId, ...headers };
  const sent = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  return request.server.inject({
    method,
    url: path,
    headers: sent as Record<string, string>,
    remoteAddress: request.ip,
  });
}
