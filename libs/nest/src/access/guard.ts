/**
 * Access: every route has a row in the service's table (see access.ts of #service), and is refused to whom that does not
 * name, before anything of the body is read. There is no switch that turns it off; only the issuer differs.
 *
 *   too many requests                       429, with Retry-After: of a caller, or of an address without a valid token
 *   no token, or one that is not accepted   401, with WWW-Authenticate
 *   not for this role                       403, which says for whom it is
 *   the issuer's keys are not to be had     503
 */
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Log } from '#runtime';
import {
  accessOf,
  type AccessRule,
  type AccessTable,
  type Caller,
  callerOf,
  type Identity,
  StartError,
  unlimited,
} from '#service';
import { Problem } from '../http/problem.js';
import { networkOf, type RateLimits } from './rate-limit.js';
import type { Tokens } from './tokens.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who calls; undefined where the route is for anyone. */
    caller: Caller | undefined;
    /** Takes it back from the count of its address. */
    takeBack: (() => void) | undefined;
    /** Whether another service has answered, whose log says who has read what. */
    isForwarded: boolean;
  }
}

/** `@RequestCaller() caller: Caller` in a controller, of a route that is not for anyone. */
export const RequestCaller = createParamDecorator((_data: unknown, context: ExecutionContext): Caller => {
  const { caller } = context.switchToHttp().getRequest<FastifyRequest>();
  if (caller) return caller;
  throw new Error('This route is for anyone: it has no caller.');
});

/**
 * For a route for anyone that asks for something else than a token, such as a signature: once that is shown, the request no
 * longer counts for its address.
 */
export function takeBack(request: FastifyRequest): void {
  request.takeBack?.();
  request.takeBack = undefined;
}

interface Guarded {
  readonly tokens: Tokens;
  readonly rateLimits: RateLimits;
  readonly log: Log;
}

/** The method and the route, as tables of access name them. */
export function operationOf({ method, routeOptions }: FastifyRequest): string {
  return `${method === 'HEAD' ? 'GET' : method} ${routeOptions.url}`;
}

/** Guards all routes that are registered from here on by a service's table, and refuses to get ready when that is not about just these. */
export function guardRoutes(http: FastifyInstance, own: AccessTable, guarded: Guarded): void {
  const { tokens, rateLimits, log } = guarded;
  const table = accessOf(own);
  const ruleOf = (operation: string): AccessRule => (Object.hasOwn(table, operation) ? table[operation]! : {});
  const routes = new Set<string>();
  http.decorateRequest('caller', undefined);
  http.decorateRequest('takeBack', undefined);
  http.decorateRequest('isForwarded', false);
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
  http.addHook('onRequest', async (request, reply) => {
    const operation = operationOf(request);
    if (unlimited.has(operation)) return;
    const rule = ruleOf(operation);
    if (rule === 'anyone') {
      request.takeBack = rateLimits.perAddress.count(networkOf(request.ip), reply);
      return;
    }
    const identity = tokens.known(request.headers.authorization) ?? (await identify(request, reply, guarded));
    rateLimits.perCaller.count(identity.subject, reply);
    request.caller = callerBy(rule, identity);
    request.cause = { ...request.cause, actor: request.caller.subject };
  });
  // Who may look at what is others' leaves a trace: what staff do stands in the events, what they read in the log.
  http.addHook('onResponse', (request, reply, done) => {
    if (request.caller?.whose !== 'any' || request.isForwarded || reply.statusCode >= 400) return done();
    const operation = operationOf(request);
    if (operation.startsWith('GET ') && Object.values(ruleOf(operation)).includes('own')) {
      const { actor, correlationId } = request.cause;
      log.info({ correlationId, actor, operation, url: request.url }, 'Staff have read what belongs to customers.');
    }
    return done();
  });
}

/**
 * Who calls with a token that has to be verified. It counts for its address until it turns out to be good: while that has
 * sent too many that are not, those are let in whose tokens are known.
 */
async function identify(
  { headers: { authorization }, ip }: FastifyRequest,
  reply: FastifyReply,
  { tokens, rateLimits }: Guarded,
): Promise<Identity> {
  const takeBack = rateLimits.perAddress.count(networkOf(ip), reply);
  try {
    const identity = await tokens.identify(authorization);
    takeBack();
    return identity;
  } catch (error) {
    // That the issuer is away is not the caller's fault.
    if (!(error instanceof Problem && error.status === 401)) takeBack();
    throw error;
  }
}

function callerBy(rule: Exclude<AccessRule, 'anyone'>, identity: Identity): Caller {
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
