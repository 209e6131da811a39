/**
 * What the services take of `node:crypto`, for a browser: the same algorithms, so that tokens and recipients are sealed and
 * opened by the services' own code there, too. It is synchronous, which WebCrypto is not: a promise of the browser's would
 * come back whenever it likes, and a world would no longer follow from its seed.
 */
import { gcm } from '@noble/ciphers/aes.js';
import { x25519 } from '@noble/curves/ed25519.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { hmac } from '@noble/hashes/hmac.js';
import { sha1 } from '@noble/hashes/legacy.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { randomBytes as random } from '@noble/hashes/utils.js';

const TAG_BYTES = 16;
const hashes = { sha1, sha256 };

type Input = string | Uint8Array;

const bytesOf = (input: Input) => (typeof input === 'string' ? Buffer.from(input) : input);

export const randomBytes = (size: number) => Buffer.from(random(size));
export const randomUUID = () => globalThis.crypto.randomUUID();

/** What is hashed piece by piece: `createHash`, `createHmac`. */
function digester(start: { update(bytes: Uint8Array): unknown; digest(): Uint8Array }) {
  const digester = {
    update(input: Input) {
      start.update(bytesOf(input));
      return digester;
    },
    digest(encoding?: BufferEncoding) {
      const bytes = Buffer.from(start.digest());
      return encoding === undefined ? bytes : bytes.toString(encoding);
    },
  };
  return digester;
}

export const createHash = (name: keyof typeof hashes) => digester(hashes[name].create());

export const createHmac = (name: keyof typeof hashes, key: Input) => digester(hmac.create(hashes[name], bytesOf(key)));

export function hkdfSync(name: keyof typeof hashes, key: Uint8Array, salt: string, info: string, size: number) {
  return hkdf(hashes[name], key, bytesOf(salt), bytesOf(info), size);
}

export function timingSafeEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** AES-256-GCM of a whole text: what `update` is given is kept until `final`. */
class Cipher {
  protected aad = new Uint8Array();
  protected text: Uint8Array = new Uint8Array();
  private tag = Buffer.alloc(0);

  constructor(
    protected readonly key: Uint8Array,
    protected readonly iv: Uint8Array,
  ) {}

  setAAD(aad: Uint8Array): this {
    this.aad = new Uint8Array(aad);
    return this;
  }

  update(input: Input): Buffer {
    this.text = Buffer.concat([this.text, bytesOf(input)]);
    return Buffer.alloc(0);
  }

  final(): Buffer {
    const sealed = gcm(this.key, this.iv, this.aad).encrypt(this.text);
    this.tag = Buffer.from(sealed.subarray(-TAG_BYTES));
    return Buffer.from(sealed.subarray(0, -TAG_BYTES));
  }

  getAuthTag(): Buffer {
    return this.tag;
  }
}

class Decipher extends Cipher {
  private expected = new Uint8Array();

  setAuthTag(tag: Uint8Array): this {
    this.expected = new Uint8Array(tag);
    return this;
  }

  /** @throws Error when anything was changed */
  override final(): Buffer {
    return Buffer.from(gcm(this.key, this.iv, this.aad).decrypt(Buffer.concat([this.text, this.expected])));
  }
}

export const createCipheriv = (_: 'aes-256-gcm', key: Uint8Array, iv: Uint8Array) => new Cipher(key, iv);
export const createDecipheriv = (_: 'aes-256-gcm', key: Uint8Array, iv: Uint8Array) => new Decipher(key, iv);

interface Jwk {
  readonly kty: 'OKP';
  readonly crv: 'X25519';
  readonly x: string;
  readonly d?: string;
}

/** A key of X25519; only a private one has `secret`. */
class Key {
  constructor(
    readonly point: Uint8Array,
    readonly secret?: Uint8Array,
  ) {}

  export(): Jwk {
    const encode = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url');
    const common = { kty: 'OKP', crv: 'X25519', x: encode(this.point) } as const;
    return this.secret ? { ...common, d: encode(this.secret) } : common;
  }
}

function privateKey(secret: Uint8Array): Key {
  return new Key(x25519.getPublicKey(secret), secret);
}

export const createPrivateKey = ({ key }: { key: Jwk }) => privateKey(Buffer.from(key.d!, 'base64url'));

export const createPublicKey = (from: Key | { key: Jwk }) =>
  new Key(from instanceof Key ? from.point : Buffer.from(from.key.x, 'base64url'));

export function generateKeyPairSync() {
  const key = privateKey(x25519.utils.randomSecretKey());
  return { privateKey: key, publicKey: new Key(key.point) };
}

export function diffieHellman({ privateKey, publicKey }: { privateKey: Key; publicKey: Key }): Buffer {
  return Buffer.from(x25519.getSharedSecret(privateKey.secret!, publicKey.point));
}
