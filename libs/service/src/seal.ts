/**
 * Sealed texts: what one service alone may read, although others store it and pass it on. They are compact JWE (RFC 7516)
 * to an X25519 key, with ECDH-ES and A256GCM (RFC 7518, RFC 8037), so any JOSE library opens them too.
 *
 *   eyJhbGciOiJFQ0RILUVTIiwi…  .  .  <iv>  .  <what is sealed>  .  <tag>
 *   { alg, enc, kid, epk, sub }
 *
 * `kid` names the key; `sub` is what the text belongs to, such as an order, so that nobody can move it to another. It is
 * done with node:crypto and not with a library, because it is synchronous so: a simulation can play it, and it costs a
 * fraction (docs/adr/0030-sealed-tokens.md).
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';

/** A public key, as JWK: the members that count. */
export interface SealingKey {
  readonly kid: string;
  readonly x: string;
}

export interface OpeningKey extends SealingKey {
  readonly d: string;
}

/** A text that was sealed cannot be opened: by us, or not any more, or for what it was sent with. */
export class CannotOpen extends Error {
  override readonly name = 'CannotOpen';
}

const ALG = 'ECDH-ES';
const ENC = 'A256GCM';
const CURVE = { kty: 'OKP', crv: 'X25519' } as const;

const header = z.object({
  alg: z.literal(ALG),
  enc: z.literal(ENC),
  kid: z.string(),
  epk: z.object({ kty: z.literal(CURVE.kty), crv: z.literal(CURVE.crv), x: z.string() }),
  sub: z.string(),
});

/**
 * How many texts an agreed key seals before there is a new one. An agreement costs several times what
 * sealing does. With random IVs of 96 bits a key is good for 2³² texts (NIST SP 800-38D, 8.3).
 */
export const SEALS_PER_KEY = 1_000;

/** Seals texts to a key; `sub` is what a text belongs to. */
export function sealer(key: SealingKey): (text: string, sub: string) => string {
  const publicKey = publicKeyOf(key);
  let agreed = agreeOnKey(publicKey);
  return (text, sub) => {
    if (agreed.seals++ === SEALS_PER_KEY) agreed = agreeOnKey(publicKey);
    const { epk, contentKey } = agreed;
    const protectedHeader = encode(JSON.stringify({ alg: ALG, enc: ENC, kid: key.kid, epk, sub }));
    const iv = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', contentKey, iv);
    cipher.setAAD(Buffer.from(protectedHeader));
    const sealed = Buffer.concat([cipher.update(text), cipher.final()]);
    return `${protectedHeader}..${encode(iv)}.${encode(sealed)}.${encode(cipher.getAuthTag())}`;
  };
}

/** A key of the content that the owner of the public key can derive, too: by `epk`, which is made for it. */
function agreeOnKey(publicKey: KeyObject) {
  const own = generateKeyPairSync('x25519');
  const epk = { ...CURVE, x: own.publicKey.export({ format: 'jwk' }).x };
  return { epk, contentKey: sharedKey(own.privateKey, publicKey), seals: 0 };
}

/** How many agreed keys are remembered: those of the last million texts of a sealer. */
const MAX_AGREED = 1_000;

/**
 * Opens what was sealed to one of the keys for the same `sub`; a text that is not sealed is returned as it is.
 * @throws CannotOpen
 */
export function opener(keys: readonly OpeningKey[]): (text: string, sub: string) => string {
  const privateKeys = new Map(keys.map((key) => [key.kid, privateKeyOf(key)]));
  const agreed = new LRUCache<string, Buffer>({ max: MAX_AGREED });
  return (text, sub) => {
    const [protectedHeader, encryptedKey, iv, sealed, tag, ...more] = text.split('.');
    // With ECDH-ES there is no encrypted key.
    if (encryptedKey !== '' || !protectedHeader || !iv || !tag || sealed === undefined || more.length > 0) return text;
    const { kid, epk, sub: sealedFor } = headerOf(protectedHeader);
    const privateKey = privateKeys.get(kid);
    if (!privateKey) throw new CannotOpen(`It is sealed to the key ${JSON.stringify(kid)}, which is not among ours.`);
    if (sealedFor !== sub) throw new CannotOpen('It was sealed for something else than it was sent with.');
    try {
      const name = `${kid} ${epk.x}`;
      const contentKey = agreed.get(name) ?? sharedKey(privateKey, publicKeyOf(epk));
      const decipher = createDecipheriv('aes-256-gcm', contentKey, decode(iv), { authTagLength: 16 });
      decipher.setAAD(Buffer.from(protectedHeader)).setAuthTag(decode(tag));
      const opened = Buffer.concat([decipher.update(decode(sealed)), decipher.final()]).toString();
      agreed.set(name, contentKey); // Not before it has opened something: nobody fills the memory with keys of their own.
      return opened;
    } catch (cause) {
      throw new CannotOpen('It is damaged, or was not sealed to the key that it names.', { cause });
    }
  };
}

/** @throws CannotOpen */
function headerOf(protectedHeader: string): z.infer<typeof header> {
  try {
    return header.parse(JSON.parse(decode(protectedHeader).toString()));
  } catch (cause) {
    throw new CannotOpen('It is damaged, or sealed in a way that is not known here.', { cause });
  }
}

/** The key of the content: the Concat KDF of RFC 7518, 4.6.2, without names of the parties. */
function sharedKey(privateKey: KeyObject, publicKey: KeyObject): Buffer {
  const secret = diffieHellman({ privateKey, publicKey });
  return createHash('sha256').update(ROUND_1).update(secret).update(OTHER_INFO).digest();
}

const ROUND_1 = uint32(1);
/** The algorithm, no names of the parties, and the length of the key in bits. */
const OTHER_INFO = Buffer.concat([uint32(ENC.length), Buffer.from(ENC), uint32(0), uint32(0), uint32(256)]);

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function encode(bytes: string | Uint8Array): string {
  return Buffer.from(bytes as Uint8Array).toString('base64url');
}

function decode(text: string): Buffer {
  return Buffer.from(text, 'base64url');
}

function publicKeyOf({ x }: { readonly x: string }): KeyObject {
  return createPublicKey({ key: { ...CURVE, x }, format: 'jwk' });
}

function privateKeyOf({ x, d }: OpeningKey): KeyObject {
  return createPrivateKey({ key: { ...CURVE, x, d }, format: 'jwk' });
}

/** A new pair, as the variables take it: a JWK set of the private key, and the public JWK. */
export function makeSealKeys(kid: string): { readonly opening: string; readonly sealing: string } {
  const { x, d } = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' });
  const sealing = { ...CURVE, kid, x };
  return { opening: JSON.stringify({ keys: [{ ...sealing, d }] }), sealing: JSON.stringify(sealing) };
}

/** For development and specs: everybody knows them. */
export const DEVELOPMENT_KEYS = {
  sealing: '{"kty":"OKP","crv":"X25519","kid":"development","x":"kUuD5_B9s_3X1JaLryVGp_eoRjp2suonNB9eDFCMjBM"}',
  opening:
    '{"keys":[{"kty":"OKP","crv":"X25519","kid":"development","x":"kUuD5_B9s_3X1JaLryVGp_eoRjp2suonNB9eDFCMjBM","d":"EF1iJQ3Oz5YW8Aypz5N7w2KKOxOM-u3fjJB4M296ZFE"}]}',
};

/** A variable: the public key that texts are sealed to, as a JWK. */
export function sealingKey() {
  return json((jwk) => {
    if (jwk.d !== undefined) throw new Wrong('is a private key, which only the service that opens may have');
    return sealingKeyOf(jwk);
  });
}

/** A variable: the private keys that open, as a JWK set. */
export function openingKeys() {
  return json(({ keys: jwks }) => {
    if (!Array.isArray(jwks) || jwks.length === 0) throw new Wrong('is not a JWK set of one key or more');
    const keys = jwks.map(openingKeyOf);
    if (new Set(keys.map(({ kid }) => kid)).size < keys.length) throw new Wrong('has two keys with the same kid');
    return keys;
  });
}

/** As it is given: any member may be missing, or be anything. */
type Jwk = { readonly [Member in 'kty' | 'crv' | 'kid' | 'x' | 'd']?: unknown };

/** What is wrong with a variable, in words for a person. */
class Wrong extends Error {}

function json<Value>(read: (given: Jwk & { readonly keys?: readonly Jwk[] }) => Value) {
  return z.string().transform((text, context): Value => {
    try {
      return read(JSON.parse(text) as Jwk);
    } catch (error) {
      const message = error instanceof Wrong ? error.message : 'is not JSON with a key of X25519, as a JWK';
      context.addIssue({ code: 'custom', message });
      return z.NEVER;
    }
  });
}

function sealingKeyOf({ kty, crv, kid, x }: Jwk): SealingKey {
  if (kty !== CURVE.kty || crv !== CURVE.crv || typeof x !== 'string') throw new Wrong('has no key of X25519 as a JWK');
  if (typeof kid !== 'string' || !/^[\w.:-]{1,64}$/.test(kid)) {
    throw new Wrong('has a key without a kid of 1 to 64 letters, digits and ._:-');
  }
  publicKeyOf({ x });
  return { kid, x };
}

function openingKeyOf(jwk: Jwk): OpeningKey {
  const { kid, x } = sealingKeyOf(jwk);
  const { d } = jwk;
  if (typeof d !== 'string') throw new Wrong(`has the key ${kid} without its private part`);
  const key = { kid, x, d };
  const derived = createPublicKey(privateKeyOf(key)).export({ format: 'jwk' });
  if (derived.x !== x) throw new Wrong(`has the key ${kid}, whose two parts do not belong together`);
  return key;
}
