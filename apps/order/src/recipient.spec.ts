import { expect, test } from 'vitest';
import { CannotOpen } from '#service';
import { newKey } from './customer-keys/memory.js';
import { digestOf, kidOf, openRecipient, type Recipient, sealRecipient } from './recipient.js';

const ada: Recipient = {
  name: 'Ada Lovelace',
  email: 'ada@example.com',
  address: { street: "St. James's Square 12", postalCode: 'SW1Y 4JH', city: 'London', country: 'GB' },
};
const of = { customerId: 'c1', orderId: 'o1' };
const key = newKey();

test('what is sealed shows nothing, and opens for its customer and order', () => {
  const sealed = sealRecipient(ada, key, of);
  expect(sealed).toMatch(/^1\.[\w-]{22}\.[\w-]{16}\.[\w-]+\.[\w-]{22}$/);
  for (const text of [sealed, Buffer.from(sealed.split('.')[3]!, 'base64url').toString()]) {
    for (const word of ['Ada', 'ada@', 'London', 'SW1Y']) expect(text).not.toContain(word);
  }
  expect(kidOf(sealed)).toBe(key.kid);
  expect(openRecipient(sealed, key, of)).toEqual(ada);
});

test('sealed twice it is two texts', () => expect(sealRecipient(ada, key, of)).not.toBe(sealRecipient(ada, key, of)));

test.each([
  ['for another customer', key, { ...of, customerId: 'c2' }],
  ['for another order', key, { ...of, orderId: 'o2' }],
  ['with another key', newKey(), of],
  ['with another secret of that name', { ...newKey(), kid: key.kid }, of],
])('it does not open %s', (_what, with_, whose) =>
  expect(() => openRecipient(sealRecipient(ada, key, of), with_, whose)).toThrow(CannotOpen),
);

test('what is changed in any of its parts does not open', () => {
  const parts = sealRecipient(ada, key, of).split('.');
  for (const i of parts.keys()) {
    const first = parts[i]![0] === 'A' ? 'B' : 'A';
    const changed = parts.with(i, `${first}${parts[i]!.slice(1)}`).join('.');
    expect(() => openRecipient(changed, key, of), `part ${i}`).toThrow(CannotOpen);
  }
  for (const text of ['', 'Ada Lovelace', parts.slice(0, 4).join('.'), `${parts.join('.')}.`]) {
    expect(() => openRecipient(text, key, of), text).toThrow(CannotOpen);
  }
  const short = parts.with(4, parts[4]!.slice(0, 6)).join('.'); // A tag that is shorter is easier to guess.
  expect(() => openRecipient(short, key, of)).toThrow(CannotOpen);
});

test('the same recipient has the same digest, in whatever order its members came; others have others', () => {
  const { name, email, address } = ada;
  const reversed = Object.fromEntries(Object.entries(address).reverse()) as unknown as Recipient['address'];
  expect(digestOf({ address: reversed, email, name }, key, of)).toBe(digestOf(ada, key, of));
  const digests = [
    digestOf(ada, key, of),
    digestOf({ ...ada, name: 'Ada King' }, key, of),
    digestOf({ ...ada, address: { ...address, city: 'Ockham' } }, key, of),
    digestOf(ada, newKey(), of),
    digestOf(ada, key, { ...of, orderId: 'o2' }),
  ];
  expect(new Set(digests).size).toBe(5);
});
