/**
 * The issuer of a shop's tokens, in this process: its discovery document, its public keys, and access tokens (RFC 9068) for
 * whomever a proof wants to be. Its only client is the gateway, whose secret may be any. `npm start` has a real provider instead, where a person logs in.
 */
import { generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Role } from '#service';

export const AUDIENCE = 'larder';

/** Proofs take longer than a person's token lasts. */
const LIFETIME_S = 24 * 60 * 60;

interface Key {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly jwk: object;
}

/** What differs from a good token. */
export interface Changes {
  readonly header?: object;
  readonly claims?: object;
}

export class Issuer {
  /** How often its keys were asked for. */
  asked = 0;
  /** While true it takes requests and answers none. */
  silent = false;
  private keys: readonly Key[] = [newKey()];

  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {
    server.on('request', ({ url: path }, response) => {
      if (this.silent) return;
      const found =
        path === '/keys'
          ? this.keySet()
          : path === '/token'
            ? { access_token: this.token('gateway', ['service']), token_type: 'Bearer', expires_in: LIFETIME_S }
            : {
                issuer: url,
                jwks_uri: `${url}/keys`,
                token_endpoint: `${url}/token`,
                authorization_endpoint: `${url}/auth`,
              };
      response.setHeader('content-type', 'application/json').end(JSON.stringify(found));
    });
  }

  /** At a free port of this machine, or at one that it had before. */
  static async open(port = 0): Promise<Issuer> {
    const server = createServer().listen(port, '127.0.0.1').unref();
    await once(server, 'listening');
    return new Issuer(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  }

  /** An access token, as good as it can be but for the `changes`. */
  token(subject: string, roles: readonly Role[], { header = {}, claims = {} }: Changes = {}): string {
    const [{ kid, privateKey }] = this.keys as [Key];
    const nowS = Math.floor(new Date().getTime() / 1_000);
    const content = [
      { alg: 'ES256', typ: 'at+jwt', kid, ...header },
      {
        iss: this.url,
        aud: AUDIENCE,
        sub: subject,
        client_id: 'proof',
        jti: randomUUID(),
        iat: nowS,
        exp: nowS + LIFETIME_S,
        roles,
        ...claims,
      },
    ].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'));
    const signed = content.join('.');
    const signature = sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' });
    return `${signed}.${signature.toString('base64url')}`;
  }

  /** Signs with a new key from here on; the old ones stay known unless they are `withdrawn`. */
  rotate({ withdrawn = false } = {}): void {
    this.keys = [newKey(), ...(withdrawn ? [] : this.keys)];
  }

  /** The public keys, as it hands them out. */
  keySet(): { readonly keys: readonly object[] } {
    this.asked++;
    return { keys: this.keys.map(({ jwk }) => jwk) };
  }

  /** Refuses connections, until it is open again. */
  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  /** Takes connections again, at the same port and with the same keys. */
  async reopen(): Promise<void> {
    this.server.listen(Number(new URL(this.url).port), '127.0.0.1');
    await once(this.server, 'listening');
  }
}

function newKey(): Key {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const kid = randomUUID();
  return { kid, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' } };
}

/** The header that says who one is. */
export function bearer(token: string): { readonly authorization: string } {
  return { authorization: `Bearer ${token}` };
}
