/** The search itself: it finds what was written in any of these ways, wherever it is, and nothing where nothing is. */
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { newPerson } from './people.js';
import { Search, type Secret } from './search.js';
import { SeededRandom } from '#runtime/testing';

const person = newPerson('here', new SeededRandom(1));
const search = new Search(person.secrets);
const [secret] = person.secrets as [Secret];
const { name } = person.recipient;

const escape = (text: string) => text.replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
const base64 = (text: string, before: number) =>
  Buffer.from(`${'x'.repeat(before)}${text} and more`).toString('base64');

/** Written by other means than those of the search. */
const written: Readonly<Record<string, Uint8Array | string>> = {
  'UTF-8': name,
  'UTF-8 in upper case': name.toUpperCase(),
  'UTF-8 in lower case': name.toLowerCase(),
  'UTF-8 decomposed': name.normalize('NFD'),
  'UTF-8 without accents': name.normalize('NFD').replace(/\p{M}/gu, ''),
  'UTF-16LE': Buffer.from(name, 'utf16le'),
  'UTF-16BE': Buffer.from(name, 'utf16le').swap16(),
  'JSON escapes': escape(name),
  'JSON escapes, with large digits': escape(name).replace(/\\u..../g, (it) => `\\u${it.slice(2).toUpperCase()}`),
  'JSON escapes in JSON': JSON.stringify(`"${escape(name)}"`),
  'percent-encoded': encodeURIComponent(name),
  'percent-encoded in a form': new URLSearchParams({ name }).toString(),
  'percent-encoded, with small digits': encodeURIComponent(name).toLowerCase(),
  'percent-encoded twice': encodeURIComponent(encodeURIComponent(name)),
  'quoted-printable': [...Buffer.from(name)]
    .map((b) => (b > 126 ? `=${b.toString(16).toUpperCase()}` : String.fromCharCode(b)))
    .join(''),
  hexadecimal: Buffer.from(name).toString('hex'),
  'hexadecimal, with large digits': Buffer.from(name).toString('hex').toUpperCase(),
  'hexadecimal, of UTF-16LE': Buffer.from(name, 'utf16le').toString('hex'),
  'base64, at the first place of three': base64(name, 3),
  'base64, at the second place of three': base64(name, 4),
  'base64, at the third place of three': base64(name, 5),
  'base64, of a query string': base64(encodeURIComponent(name), 1),
  'base64, of JSON escapes': base64(escape(name), 2),
  'base64, in upper case': base64(name.toUpperCase(), 1),
  base64url: Buffer.from(`?>?>${name}?>`).toString('base64url'),
  'base64url, of UTF-16LE': Buffer.from(name, 'utf16le').toString('base64url'),
};

test.each(Object.keys(written))('a name is found as %s, wherever it stands', (encoding) => {
  for (const place of [0, 1, 7, 4_096, 65_535]) {
    const around = [randomBytes(place), Buffer.from(written[encoding]!), randomBytes(999)];
    const found = search.in(Buffer.concat(around)).map((match) => match.secret.text);
    expect(found, `at ${place}`).toEqual(name.split(' '));
  }
});

test('a name is found in Latin-1, if it has its letters', () => {
  const search = new Search([{ text: 'Ñøðßåæuf', what: 'a name' }]);
  expect(search.in(Buffer.from('of Ñøðßåæuf', 'latin1'))).toMatchObject([{ encoding: 'Latin-1', offset: 3 }]);
});

test('each word of a recipient is found by itself, and said to be what it is', () => {
  const { email, address } = person.recipient;
  const texts = [name, email, address.street, address.postalCode, address.city].flatMap((text) => text.split(/[ @.]/));
  const words = texts.filter((word) => word.length >= 8);
  expect(words).toHaveLength(7);
  for (const word of words) expect(search.in(`"${word}"`)).toMatchObject([{ secret: { text: word }, offset: 1 }]);
  expect(search.in(email).map((match) => match.secret.what)).toEqual(Array(2).fill('the email of the customer here'));
});

describe('nothing is found', () => {
  test('in noise, in zeros, in the names of others', () => {
    expect(search.in(randomBytes(2 ** 22))).toEqual([]);
    expect(search.in(new Uint8Array(2 ** 16))).toEqual([]);
    const others = Array.from({ length: 100 }, (_, i) => newPerson('elsewhere', new SeededRandom(i + 2)).recipient);
    expect(search.in(JSON.stringify(others))).toEqual([]);
  });

  test('of a word whose last letter is missing, or that ends with the content', () => {
    const { text } = secret;
    expect(search.in(text.slice(0, -1))).toEqual([]);
    expect(search.in(text)).toHaveLength(1);
  });
});

test('a word that is too short to be told from chance is refused', () => {
  expect(() => new Search([{ text: 'Ann', what: 'a name' }])).toThrow('"Ann" is too short to be looked for.');
});
