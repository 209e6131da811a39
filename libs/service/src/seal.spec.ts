import fc from 'fast-check';
import { compactDecrypt, CompactEncrypt, importJWK, type JWK } from 'jose';
import { describe, expect, test } from 'vitest';
import { CannotOpen, makeSealKeys, opener, openingKeys, sealer, sealingKey, SEALS_PER_KEY } from './seal.js';

const keysOf = (kid: string) => {
  const made = makeSealKeys(kid);
  return { made, opening: openingKeys().parse(made.opening), sealing: sealingKey().parse(made.sealing) };
};
const old = keysOf('2026-11');
const current = keysOf('2026-12');
const seal = sealer(current.sealing);
const open = opener([...current.opening, ...old.opening]);
const ORDER = '0190a8c0-0000-7000-8000-000000000001';

test('what is sealed shows nothing of the text, is another text each time, and is opened', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 255 }), (text) => {
      const sealed = seal(text, ORDER);
      expect(sealed).toMatch(/^eyJ[\w-]+\.\.[\w-]{16}\.[\w-]*\.[\w-]{22}$/);
      expect(sealed).not.toBe(seal(text, ORDER));
      expect(open(sealed, ORDER)).toBe(text);
    }),
    { numRuns: 50 },
  );
});

test('it is JWE: jose opens what is sealed here, and what jose seals is opened here', async () => {
  const [jwk] = (JSON.parse(current.made.opening) as { keys: JWK[] }).keys;
  const { plaintext, protectedHeader } = await compactDecrypt(seal('tok', ORDER), await importJWK(jwk!, 'ECDH-ES'), {
    keyManagementAlgorithms: ['ECDH-ES'],
    contentEncryptionAlgorithms: ['A256GCM'],
  });
  expect(new TextDecoder().decode(plaintext)).toBe('tok');
  expect(protectedHeader).toMatchObject({ alg: 'ECDH-ES', enc: 'A256GCM', kid: '2026-12', sub: ORDER });

  const publicKey = await importJWK(JSON.parse(current.made.sealing) as JWK, 'ECDH-ES');
  const byJose = await new CompactEncrypt(new TextEncoder().encode('grüße'))
    .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM', kid: '2026-12', sub: ORDER })
    .encrypt(publicKey);
  expect(open(byJose, ORDER)).toBe('grüße');
});

test('a key that is agreed on seals so many texts, each with an IV of its own, and then there is another', () => {
  const sealOf = sealer(current.sealing);
  const all = Array.from({ length: SEALS_PER_KEY + 1 }, (_, n) => sealOf(`${n}`, ORDER));
  const part = (sealed: string, n: number) => sealed.split('.')[n]!;
  const keys = all.map((sealed) => Buffer.from(part(sealed, 0), 'base64url').toString());
  expect([new Set(keys.slice(0, -1)).size, new Set(keys).size]).toEqual([1, 2]);
  expect(new Set(all.map((sealed) => part(sealed, 2))).size).toBe(all.length);
  expect(all.map((sealed) => open(sealed, ORDER))).toEqual(all.map((_, n) => `${n}`));
});

test('older keys still open', () => expect(open(sealer(old.sealing)('tok', ORDER), ORDER)).toBe('tok'));

test.each(['tok_approved', '', 'a.b.c.d.e', '....', 'eyJ.a.b.c.d'])('%j is not sealed, and returned as it is', (text) =>
  expect(open(text, ORDER)).toBe(text),
);

describe('it is not opened', () => {
  const sealed = seal('tok_approved', ORDER);
  const [header, , iv, text, tag] = sealed.split('.') as [string, string, string, string, string];
  const withHeader = (changes: object) => {
    const given = JSON.parse(Buffer.from(header, 'base64url').toString()) as object;
    return [Buffer.from(JSON.stringify({ ...given, ...changes })).toString('base64url'), '', iv, text, tag].join('.');
  };
  const flipped = (part: string) => (part.startsWith('A') ? 'B' : 'A') + part.slice(1);
  const point = (x: string) => ({ kty: 'OKP', crv: 'X25519', x });

  test.each([
    [
      'with a key that is not there',
      sealer(keysOf('2025-01').sealing)('tok', ORDER),
      'the key "2025-01", which is not',
    ],
    ['with a key of the same name', sealer(keysOf('2026-12').sealing)('tok', ORDER), 'damaged'],
    ['for another order', seal('tok', '0190a8c0-0000-7000-8000-000000000002'), 'for something else'],
    ['when it was moved to this order', withHeader({ sub: ORDER, moved: true }), 'damaged'],
    ['when its text is changed', [header, '', iv, flipped(text), tag].join('.'), 'damaged'],
    ['when its nonce is changed', [header, '', flipped(iv), text, tag].join('.'), 'damaged'],
    ['when its tag is changed', [header, '', iv, text, flipped(tag)].join('.'), 'damaged'],
    ['when its tag is cut', [header, '', iv, text, tag.slice(0, 6)].join('.'), 'damaged'],
    ['when its header is cut', [header.slice(0, -9), '', iv, text, tag].join('.'), 'damaged'],
    ['with another algorithm', withHeader({ alg: 'dir' }), 'a way that is not known'],
    ['with a weaker cipher', withHeader({ enc: 'A128GCM' }), 'a way that is not known'],
    ['without a key', withHeader({ kid: undefined }), 'a way that is not known'],
    ['with a point of low order', withHeader({ epk: point('A'.repeat(43)) }), 'damaged'],
    ['with a point that is none', withHeader({ epk: point('AAAA') }), 'damaged'],
  ])('%s', (_, given, message) => {
    const opened = expect(() => open(given, ORDER));
    opened.toThrow(CannotOpen);
    opened.toThrow(message);
  });
});

describe('a key that is given as a variable', () => {
  const sealing = JSON.parse(current.made.sealing) as Record<string, unknown>;
  const [opening] = (JSON.parse(current.made.opening) as { keys: Record<string, unknown>[] }).keys;
  const other = (JSON.parse(old.made.opening) as { keys: Record<string, unknown>[] }).keys[0]!;
  const problemOf = (type: ReturnType<typeof sealingKey | typeof openingKeys>, json: unknown) =>
    type.safeParse(typeof json === 'string' ? json : JSON.stringify(json)).error?.issues[0]?.message;

  test('may have members that do not matter here', () =>
    expect(sealingKey().parse(JSON.stringify({ ...sealing, use: 'enc', alg: 'ECDH-ES' }))).toEqual(current.sealing));

  test.each([
    ['that is private', opening, 'is a private key'],
    ['of another curve', { ...sealing, crv: 'Ed25519' }, 'has no key of X25519'],
    ['of another kind', { kty: 'oct', k: 'AAAA', kid: 'a' }, 'has no key of X25519'],
    ['without a name', { ...sealing, kid: undefined }, 'without a kid'],
    ['whose name is no name', { ...sealing, kid: 'a\nb' }, 'without a kid'],
    ['that is cut', { ...sealing, x: 'AAAA' }, 'is not JSON with a key'],
    ['that is no JSON', 'a secret', 'is not JSON with a key'],
    ['that is nothing', 'null', 'is not JSON with a key'],
  ])('is refused to seal: one %s', (_, json, problem) => expect(problemOf(sealingKey(), json)).toContain(problem));

  test.each([
    ['none', { keys: [] }, 'is not a JWK set'],
    ['one that is not in a set', opening, 'is not a JWK set'],
    ['a public one', { keys: [sealing] }, 'has the key 2026-12 without its private part'],
    ['two of one name', { keys: [opening, opening] }, 'two keys with the same kid'],
    ['one of two halves', { keys: [{ ...opening, d: other['d'] }] }, 'do not belong together'],
    ['one that is nothing', { keys: [null] }, 'is not JSON with a key'],
  ])('is refused to open: %s', (_, json, problem) => {
    expect(problemOf(openingKeys(), json)).toContain(problem);
    expect(problemOf(openingKeys(), json)).not.toContain(opening!['d']);
  });
});
