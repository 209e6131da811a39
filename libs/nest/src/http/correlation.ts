/**
 * Correlation: each request gets a `Cause`, which is recorded with the events that it leads to and appears in the log and
 * in problems, so that one id finds a checkout in every service. The id comes from `X-Correlation-Id`, else
 * from the trace of `traceparent`, else from the request's own id, and is echoed as `X-Correlation-Id`.
 */
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { IncomingHttpHeaders } from 'node:http';
import type { Cause } from '#event-store';

declare module 'fastify' {
  interface FastifyRequest {
    cause: Cause;
  }
}

/** Safe to print, store and forward: visible ASCII that needs no escape. */
const CORRELATION_ID = /^[\w.:/+=@-]{1,128}$/;

/**
 * W3C Trace Context, version 00 of the format, with which later versions begin; there is no version ff. Ids of zeros are
 * invalid.
 */
const TRACEPARENT = /^(?!ff|00.{54})([\da-f]{2})-((?!0{32})[\da-f]{32})-((?!0{16})[\da-f]{16})-([\da-f]{2})(?:-.*)?$/;

/** Reads the cause from a request's headers. Invalid headers count as absent. */
export function causeOf(headers: IncomingHttpHeaders, requestId: string): Cause {
  const given = headers['x-correlation-id'];
  const trace = typeof headers.traceparent === 'string' ? TRACEPARENT.exec(headers.traceparent) : null;
  const correlationId = typeof given === 'string' && CORRELATION_ID.test(given) ? given : (trace?.[2] ?? requestId);
  const cause = { correlationId, causationId: requestId };
  return trace ? { ...cause, traceparent: traceparentOf(trace) } : cause;
}

/** In version 00; of the flags of a later version, only the one that is known: whether the trace is sampled. */
function traceparentOf([header, version, traceId, parentId, flags]: RegExpExecArray): string {
  if (version === '00') return header;
  const sampled = Number.parseInt(flags!, 16) % 2;
  return `00-${traceId}-${parentId}-0${sampled}`;
}

/**
 * `@RequestCause() cause: Cause` in a controller. `causationId` is the request's id, and `actor` the subject of its access
 * token (see guard.ts): what the request itself says of who sent it counts for nothing.
 */
export const RequestCause = createParamDecorator(
  (_data: unknown, context: ExecutionContext): Cause => context.switchToHttp().getRequest<FastifyRequest>().cause,
);
