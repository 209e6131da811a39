/** What a browser has in the place of Node's modules does what Node does. */
import * as node from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { expect, test } from 'vitest';
import { BrowserBuffer } from './buffer.js';
import * as browser from './crypto.js';
import { isDeepStrictEqual as isSame } from './util.js';

const key = Buffer.alloc(32, 7);
const iv = Buffer.alloc(12, 9);
const text = 'Zwei Gläser Honig, 蜂蜜 🍯';

type Crypto = Pick<typeof node, 'createCipheriv' | 'createDecipheriv'>;

function seal({ createCipheriv }: Crypto) {
  const cipher = createCipheriv('aes-256-gcm', key, iv);
  cipher.setAAD(Buffer.from('whose'));
  return { sealed: Buffer.concat([cipher.update(text), cipher.final()]), tag: cipher.getAuthTag() };
}

function open({ createDecipheriv }: Crypto, { sealed, tag }: ReturnType<typeof seal>, whose = 'whose') {
  const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: 16 });
  decipher.setAAD(Buffer.from(whose)).setAuthTag(tag);
  return Buffer.concat([decipher.update(sealed), decipher.final()]).toString();
}

test('what one seals the other opens, and neither opens it when it was changed, or for another', () => {
  const there = browser as unknown as Crypto;
  expect(seal(there)).toEqual(seal(node));
  expect(open(there, seal(node))).toBe(text);
  expect(open(node, seal(there))).toBe(text);
  const { sealed, tag } = seal(there);
  for (const crypto of [node, there]) {
    expect(() => open(crypto, { sealed, tag }, 'another')).toThrow();
    expect(() => open(crypto, { sealed: Buffer.concat([sealed, Buffer.of(1)]), tag })).toThrow();
    expect(() => open(crypto, { sealed, tag: tag.subarray(1) })).toThrow();
  }
});

test('both agree on the same secret', () => {
  const [here, there] = [node.generateKeyPairSync('x25519'), browser.generateKeyPairSync()];
  const [hers, theirs] = [here.privateKey.export({ format: 'jwk' }), there.privateKey.export()];
  expect(node.createPrivateKey({ key: { ...theirs }, format: 'jwk' }).export({ format: 'jwk' })).toEqual(theirs);
  expect(browser.createPrivateKey({ key: hers as typeof theirs }).export()).toEqual(hers);
  const publicKey = node.createPublicKey({ key: { ...there.publicKey.export() }, format: 'jwk' });
  const secret = node.diffieHellman({ privateKey: here.privateKey, publicKey });
  const opposite = browser.createPublicKey({ key: here.publicKey.export({ format: 'jwk' }) as typeof theirs });
  expect(browser.diffieHellman({ privateKey: there.privateKey, publicKey: opposite })).toEqual(secret);
});

test('digests and derived keys are the same', () => {
  for (const name of ['sha1', 'sha256'] as const) {
    expect(browser.createHash(name).update(text).update('more').digest('hex')).toBe(
      node.createHash(name).update(text).update('more').digest('hex'),
    );
  }
  const mac = ({ createHmac }: Pick<typeof node, 'createHmac'>) =>
    createHmac('sha256', 'secret').update(text).update('more').digest('base64url');
  expect(mac(browser as never)).toBe(mac(node));
  expect(Buffer.from(browser.hkdfSync('sha256', key, '', 'about', 32))).toEqual(
    Buffer.from(node.hkdfSync('sha256', key, '', 'about', 32)),
  );
});

test.each(['utf8', 'hex', 'base64url'] as const)('bytes are text and text is bytes in %s', (encoding) => {
  for (let length = 0; length <= 64; length++) {
    const bytes = encoding === 'utf8' ? Buffer.from(text.repeat(length)) : node.randomBytes(length);
    const encoded = bytes.toString(encoding);
    expect(BrowserBuffer.from(bytes).toString(encoding)).toBe(encoded);
    expect([...BrowserBuffer.from(encoded, encoding)]).toEqual([...bytes]);
  }
});

test('bytes are put together', () => {
  const number = BrowserBuffer.alloc(4);
  number.writeUInt32BE(0xfe_dc_ba_98);
  const all = BrowserBuffer.concat([number, BrowserBuffer.from('ab')]);
  expect(all.toString('hex')).toBe('fedcba986162');
});

test.each([
  [{ a: [1, { b: null }] }, { a: [1, { b: null }] }],
  [{ a: 1 }, { a: 1, b: undefined }],
  [{ a: undefined }, { b: undefined }],
  [[1, 2], [1]],
  [[], {}],
  [1n, 1n],
  [1n, 1],
  [new Date(1), new Date(1)],
  [new Date(1), new Date(2)],
  [new Date(1), {}],
  [null, {}],
  ['1', 1],
])('%o and %o are the same where Node says so', (a, b) => expect(isSame(a, b)).toBe(isDeepStrictEqual(a, b)));
