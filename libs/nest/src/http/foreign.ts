/**
 * Requests that a page of another site may have had a browser send. Refused is
 *
 *   who calls the service by a name that is not its own   421   DNS rebinding: that name leads to the service for a moment
 *   a write that a page of another site sends             403   unless CORS_ORIGINS lists its origin
 *
 * A page can have no name but one of the DNS, so IP addresses, `localhost` and names without a dot, as containers have
 * them, are always the service's own. `X-Forwarded-Host` is not read: a proxy that changes `Host` has to change it to a
 * name of the service.
 */
import type { FastifyInstance } from 'fastify';
import { isIPv4 } from 'node:net';
import { Problem } from './problem.js';

export interface OwnNames {
  /** ALLOWED_HOSTS */
  readonly allowedHosts: readonly string[];
  readonly corsOrigins: readonly string[];
}

const SAFE_METHODS = ['GET', 'HEAD', 'OPTIONS'];

export function refuseForeign(http: FastifyInstance, { allowedHosts, corsOrigins }: OwnNames): void {
  const allowed = new Set(allowedHosts);
  http.addHook('onRequest', (request, _reply, done) => {
    const { host, origin, 'sec-fetch-site': site = 'none' } = request.headers;
    // Of HTTP/1.0, there may be no Host. A target with a name is what counts then, and besides.
    const target = /^https?:\/\/([^/?#]*)/i.exec(request.raw.url ?? '')?.[1];
    let problem: Problem | undefined;
    if (!isOwn(host, allowed) || !isOwn(target, allowed)) {
      problem = new Problem(
        421,
        'foreign-host',
        'The service is not called by this name. ALLOWED_HOSTS lists its own.',
      );
    } else if (
      !SAFE_METHODS.includes(request.method) &&
      site !== 'none' &&
      site !== 'same-origin' &&
      !corsOrigins.includes(origin ?? '')
    ) {
      problem = new Problem(
        403,
        'cross-site',
        'A page of another site has sent this. CORS_ORIGINS lists those that may.',
      );
    }
    done(problem);
  });
}

/** Whether an authority (`shop.example:8080`, `[::1]`), where there is one, names the service. */
function isOwn(authority: string | undefined, allowed: ReadonlySet<string>): boolean {
  if (authority === undefined) return true;
  const [, address, written = ''] = /^(?:(\[[\da-f:.]+\])|([\w.-]+?)\.?)(?::\d{0,5})?$/i.exec(authority) ?? [];
  if (address !== undefined) return true;
  const name = written.toLowerCase();
  return /^[\w-]+$/.test(name) || name.endsWith('.localhost') || isIPv4(name) || allowed.has(name);
}
