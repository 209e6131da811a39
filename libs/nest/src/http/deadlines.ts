/**
 * A request that takes too long, because a server hangs behind it, is answered with 503. Its work goes on unseen, and
 * the caller may send it again: writes are idempotent. One look at all requests under way every 100 ms costs less than
 * a timer for each.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Bell, type Clock } from '#runtime';
import { tryAgain } from './problem.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** When the request has to be answered, in milliseconds of the clock; a handler that waits on purpose adds to it. */
    dueMs: number;
  }
}

const LOOK_EVERY_MS = 100;

/** Gives each request `timeoutMs`. The loop that is returned does the answering, until its signal aborts. */
export function deadlines(
  http: FastifyInstance,
  clock: Clock,
  timeoutMs: number,
): (signal: AbortSignal) => Promise<void> {
  const underWay = new Map<FastifyRequest, FastifyReply>();
  const somebodyAsks = new Bell();
  http.decorateRequest('dueMs', 0);
  http.addHook('onRequest', (request, reply, done) => {
    request.dueMs = clock.now().getTime() + timeoutMs;
    underWay.set(request, reply);
    if (underWay.size === 1) somebodyAsks.ring();
    // The connection may end without a response, and then no hook of Fastify tells.
    reply.raw.once('close', () => underWay.delete(request));
    done();
  });
  return async (signal) => {
    while (!signal.aborted) {
      if (underWay.size === 0) await somebodyAsks.wait(signal);
      await clock.sleep(LOOK_EVERY_MS, signal);
      const nowMs = clock.now().getTime();
      for (const [request, reply] of underWay) {
        if (request.dueMs > nowMs) continue;
        underWay.delete(request);
        if (!reply.sent && !reply.raw.headersSent) {
          reply.send(tryAgain('unavailable', 'The answer took too long. Try again.'));
        }
      }
    }
  };
}
