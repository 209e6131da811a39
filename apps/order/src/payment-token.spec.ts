import { expect, test } from 'vitest';
import { makeSealKeys, opener, openingKeys, sealingKey } from '#service';
import { tokenSealer } from './payment-token.js';

const keys = makeSealKeys('2026-12');
const sealingWith = (...digestSecrets: string[]) =>
  tokenSealer({ sealingKey: sealingKey().parse(keys.sealing), digestSecrets });
const seal = sealingWith('a secret of the test');

test('a token is sealed for payment and its order, and compared by a digest that does not show it', () => {
  const { paymentToken, tokenDigest } = seal('tok_approved', 'o1');
  expect(opener(openingKeys().parse(keys.opening))(paymentToken, 'o1')).toBe('tok_approved');
  // printf 'o1\\ntok_approved' | openssl dgst -sha256 -hmac 'a secret of the test' -binary | basenc --base64url
  expect(tokenDigest).toBe('rO0IfEDhRv1jywSs1WEhNA4vE7B_ZQiI0JXjzPu22d0');
});

test('the same token of an order has the same digest; another token, order or secret has another', () => {
  const digests = [
    seal('tok_approved', 'o1'),
    seal('tok_approved', 'o1'),
    seal('tok_declined', 'o1'),
    seal('tok_approved', 'o2'),
    sealingWith('another secret')('tok_approved', 'o1'),
  ].map(({ tokenDigest }) => tokenDigest);
  expect(digests[0]).toBe(digests[1]);
  expect(new Set(digests).size).toBe(4);
});

test('while a secret is replaced, digests under the old one are recognized, and so are tokens that were never sealed', () => {
  const { tokenDigest: old } = seal('tok_approved', 'o1');
  const { tokenDigest, olderDigests } = sealingWith('a new one', 'a secret of the test')('tok_approved', 'o1');
  expect(tokenDigest).not.toBe(old);
  expect(olderDigests).toEqual([old, 'tok_approved']);
});
