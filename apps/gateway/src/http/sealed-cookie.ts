/**
 * Cookies that only the gateway can read and make: encrypted JWTs (RFC 7519, with A256GCM) that name the time at which they
 * end. Each has a key of its own, derived from GATEWAY_SECRET, so that one does not pass for another.
 */
import type { FastifyReply } from 'fastify';
import { EncryptJWT, errors, jwtDecrypt, type JWTPayload } from 'jose';
import { hkdfSync } from 'node:crypto';
import type { Clock } from '#runtime';

/** Browsers keep no cookie whose name and value are longer together (RFC 6265bis, section 5.6). */
const MAX_BYTES = 4_096;

const ALGORITHM = { alg: 'dir', enc: 'A256GCM' };

export interface CookieSettings {
  /** The first seals, and all open. */
  readonly secrets: readonly string[];
  /** Whether browsers reach the gateway by HTTPS. Then nobody else can set the cookie, not even another host of the domain. */
  readonly isHttps: boolean;
  readonly clock: Clock;
}

export class TooLarge extends Error {
  override readonly name = 'TooLarge';
}

export class SealedCookie<Content extends JWTPayload> {
  private readonly name: string;
  private readonly keys: readonly Uint8Array[];
  private readonly attributes: string;

  constructor(
    name: string,
    private readonly settings: CookieSettings,
  ) {
    const { secrets, isHttps } = settings;
    this.name = isHttps ? `__Host-${name}` : name;
    this.keys = secrets.map((secret) => new Uint8Array(hkdfSync('sha256', secret, '', `larder cookie ${name}`, 32)));
    this.attributes = `Path=/; HttpOnly; SameSite=Lax${isHttps ? '; Secure' : ''}`;
  }

  /** Seals `content` until `endsAt`, in seconds since 1970. @throws TooLarge */
  async set(reply: FastifyReply, content: Content, endsAt: number): Promise<void> {
    const text = await new EncryptJWT(content)
      .setProtectedHeader(ALGORITHM)
      .setExpirationTime(endsAt)
      .encrypt(this.keys[0]!);
    const pair = `${this.name}=${text}`;
    if (pair.length > MAX_BYTES) throw new TooLarge(`It takes ${pair.length} bytes, and a cookie has ${MAX_BYTES}.`);
    // It lasts as long as the browser is open: what has ended is still shown, so that it can be told from nothing.
    reply.header('set-cookie', `${pair}; ${this.attributes}`);
  }

  delete(reply: FastifyReply): void {
    reply.header('set-cookie', `${this.name}=; ${this.attributes}; Max-Age=0`);
  }

  /** What is in a `Cookie` header; undefined when this cookie is not. */
  async open(header: string | undefined): Promise<Content | 'ended' | 'forged' | undefined> {
    const pairs = header?.split(/; */) ?? [];
    const text = pairs.find((pair) => pair.startsWith(`${this.name}=`))?.slice(this.name.length + 1);
    if (text === undefined) return undefined;
    for (const key of this.keys) {
      const found = await this.openBy(key, text);
      if (found !== 'forged') return found;
    }
    return 'forged';
  }

  private async openBy(key: Uint8Array, text: string): Promise<Content | 'ended' | 'forged'> {
    try {
      const { payload } = await jwtDecrypt<Content>(text, key, {
        keyManagementAlgorithms: [ALGORITHM.alg],
        contentEncryptionAlgorithms: [ALGORITHM.enc],
        requiredClaims: ['exp'],
        currentDate: this.settings.clock.now(),
      });
      return payload;
    } catch (error) {
      if (error instanceof errors.JWTExpired) return 'ended';
      if (error instanceof errors.JOSEError) return 'forged';
      throw error;
    }
  }
}
