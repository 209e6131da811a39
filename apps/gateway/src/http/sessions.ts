/**
 * Sessions of browsers: a sealed cookie holds the access token, so that no page ever has it. It ends with the token. A request
 * with a token of its own is not of the session.
 *
 *   no cookie, or one that is forged or cut   nobody is logged in
 *   its token has expired                     401 session-ended, unless the route is for anyone
 *   a write without the session's token       403 csrf
 *   otherwise                                 goes on as if it had come with the access token
 */
import type { FastifyInstance, FastifyReply } from 'fastify';
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { operationOf, Problem } from '#nest';
import { accessOf, type AccessTable } from '#service';
import { type CookieSettings, SealedCookie } from './sealed-cookie.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Of the browser that sends it; undefined when nobody is logged in there, or it has a token of its own. */
    session: BrowserSession | undefined;
  }
}

/** A type, and not an interface, since it is sealed as JSON. */
export type BrowserSession = {
  readonly token: string;
  /** What the person is called. */
  readonly name: string;
  /** What a page of ours sends with every write. No other page can read it. */
  readonly csrf: string;
};

const CSRF_HEADER = 'larder-csrf';

const READS = ['GET', 'HEAD', 'OPTIONS'];

export class Sessions {
  private readonly cookie: SealedCookie<BrowserSession>;

  constructor(settings: CookieSettings) {
    this.cookie = new SealedCookie('larder-session', settings);
  }

  /** Begins a new one in place of any before, until `endsAt`, in seconds since 1970. @throws TooLarge */
  async begin(reply: FastifyReply, person: Pick<BrowserSession, 'token' | 'name'>, endsAt: number): Promise<void> {
    await this.cookie.set(reply, { ...person, csrf: randomBytes(16).toString('base64url') }, endsAt);
  }

  end(reply: FastifyReply): void {
    this.cookie.delete(reply);
  }

  /** Lets requests of a session act by its token: before the hooks that ask for one. */
  use(http: FastifyInstance, own: AccessTable): void {
    const access = accessOf(own);
    http.decorateRequest('session', undefined);
    http.addHook('onRequest', async (request, reply) => {
      const { headers, method } = request;
      if (headers.authorization !== undefined) return;
      const found = await this.cookie.open(headers.cookie);
      if (found === undefined) return;
      if (typeof found === 'string') {
        this.end(reply);
        if (found === 'ended' && access[operationOf(request)] !== 'anyone') throw sessionEnded();
        return;
      }
      if (!READS.includes(method) && !isSame(headers[CSRF_HEADER], found.csrf)) throw withoutCsrf();
      request.session = found;
      headers.authorization = `Bearer ${found.token}`;
      delete headers[CSRF_HEADER]; // It is of no use to a service.
    });
  }
}

function isSame(given: string | string[] | undefined, wanted: string): boolean {
  const [one, other] = [Buffer.from(String(given)), Buffer.from(wanted)];
  return one.length === other.length && timingSafeEqual(one, other);
}

const sessionEnded = () =>
  new Problem(401, 'session-ended', 'The session has ended: log in again at /login.', {
    headers: { 'www-authenticate': 'Bearer realm="larder"' },
  });

const withoutCsrf = () =>
  new Problem(
    403,
    'csrf',
    'A write in a session needs the header Larder-CSRF with the token of this session, which GET /session tells.',
  );
