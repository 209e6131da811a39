/**
 * A request that takes too long, because a server behind it hangs, is answered with 503. Its work continues unseen, and
 * the caller may send it again: writes are idempotent. Checking all requests under way every 100 ms costs less than a
 * timer for each.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Bell, type Clock, UnderWay } from '#runtime';
import { tryAgain } from './problem.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** When the request has to be answered, in milliseconds of the monotonic clock; see `extendDeadline`. */
    dueMs: number;
  }
}

const CHECK_EVERY_MS = 100;

/** Gives a request that waits on purpose so many milliseconds more. */
export function extendDeadline(request: FastifyRequest, ms: number): void {
  request.dueMs += ms;
}

/**
 * Gives each request `timeoutMs` milliseconds from when it has arrived; when the service stops, none to those that still
 * arrive. The loop that is returned answers those that are late, until its signal aborts.
 */
export function enforceDeadlines(
  http: FastifyInstance,
  clock: Clock,
  timeoutMs: number,
  stopping: AbortSignal,
): (signal: AbortSignal) => Promise<void> {
  const underWay = new UnderWay<FastifyReply>();
  const requestArrived = new Bell();
  http.decorateRequest('dueMs', 0);
  http.addHook('onRequest', (request, reply, done) => {
    request.dueMs = Infinity; // Until its body has arrived, the time is the caller's, and has limits of its own.
    if (underWay.isEmpty) requestArrived.ring();
    // The connection may end without a response, and no hook of Fastify reports that.
    reply.raw.once('close', underWay.add(reply));
    done();
  });
  http.addHook('preValidation', (request, _reply, done) => {
    request.dueMs = clock.monotonicMs() + timeoutMs;
    done();
  });
  return async (signal) => {
    while (!signal.aborted) {
      if (underWay.isEmpty) await requestArrived.wait(signal);
      await clock.sleep(CHECK_EVERY_MS, signal);
      const nowMs = clock.monotonicMs();
      for (const reply of underWay.all()) {
        const { request } = reply;
        const isCutShort = stopping.aborted && !request.raw.complete;
        if (request.dueMs > nowMs && !isCutShort) continue;
        if (reply.sent || reply.raw.headersSent) continue;
        if (isCutShort)
          reply.header('connection', 'close').send(tryAgain('unavailable', 'The service stops. Try again.'));
        else reply.send(tryAgain('unavailable', 'The answer took too long. Try again.'));
      }
    }
  };
}
