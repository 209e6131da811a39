/**
 * Access: every route has a row in the service's table (see access.ts of #service), and is refused to whom that does not
 * name, before anything of the body is read. There is no switch that turns it off; only the issuer differs.
 *
 *   no token, or one that is not accepted   401, with WWW-Authenticate
 *   not for this role                       403, which says for whom it is
 *   the issuer's keys are not to be had     503
 */
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Log } from '#runtime';
import { type AccessRule, type AccessTable, type Caller, callerOf, StartError } from '#service';
import type { Metrics } from '../boot/metrics.js';
import { Problem } from '../http/problem.js';
import { commonAccess } from './common.js';
import type { Tokens } from './tokens.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who calls; undefined where the route is for anyone. */
    caller: Caller | undefined;
  }
}

/** `@RequestCaller() caller: Caller` in a controller, of a route that is not for anyone. */
export const RequestCaller = createParamDecorator((_data: unknown, context: ExecutionContext): Caller => {
  const { caller } = context.switchToHttp().getRequest<FastifyRequest>();
  if (caller) return caller;
  throw new Error('This route is for anyone: it has no caller.');
});

interface Guarded {
  readonly tokens: Tokens;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Guards all routes that are registered from here on by a service's table, and refuses to get ready when that is not about just these. */
export function guardRoutes(http: FastifyInstance, own: AccessTable, { tokens, log, metrics }: Guarded): void {
  const table: AccessTable = { ...commonAccess, ...own };
  const routes = new Set<string>();
  const count = metrics.counter(
    'larder_requests_refused_total',
    'Requests that were refused to their caller, by code.',
    ['code'],
  );
  http.decorateRequest('caller', undefined);
  http.addHook('onRoute', ({ method, url }) => {
    for (const each of [method].flat()) if (each !== 'HEAD') routes.add(`${each} ${url}`);
  });
  http.addHook('onReady', (done) => {
    const open = [...routes].filter((route) => !Object.hasOwn(table, route));
    const idle = Object.keys(own).filter((row) => !routes.has(row));
    if (open.length === 0 && idle.length === 0) return done();
    const said = [
      ...open.map((route) => `${route} has no row`),
      ...idle.map((row) => `the row ${row} has no route`),
    ].join(', ');
    return done(new StartError(`access in definition.ts: ${said}. Say there who may call what.`, 78));
  });
  http.addHook('onRequest', async (request) => {
    const operation = `${request.method === 'HEAD' ? 'GET' : request.method} ${request.routeOptions.url}`;
    const rule = Object.hasOwn(table, operation) ? table[operation]! : {};
    if (rule === 'anyone') return;
    try {
      request.caller = await callerOn(request, rule, tokens);
      request.cause = { ...request.cause, actor: request.caller.subject };
    } catch (error) {
      if (error instanceof Problem) {
        const { code } = error;
        count({ code });
        const { correlationId } = request.cause;
        log.warn({ correlationId, code, operation, address: request.ip }, 'A request was refused to its caller.');
      }
      throw error;
    }
  });
}

async function callerOn(
  { headers }: FastifyRequest,
  rule: Exclude<AccessRule, 'anyone'>,
  tokens: Tokens,
): Promise<Caller> {
  const identity = await tokens.identify(headers.authorization);
  const caller = callerOf(identity, rule);
  if (caller) return caller;
  const needs = Object.keys(rule);
  throw new Problem(403, 'forbidden', `This is for ${listed(needs)}, which the access token does not name.`, {
    extras: { needs },
    headers: { 'www-authenticate': `Bearer realm="larder", error="insufficient_scope", scope="${needs.join(' ')}"` },
  });
}

function listed(names: readonly string[]): string {
  return names.length < 2
    ? `the role ${names.join('')}`
    : `the roles ${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}
