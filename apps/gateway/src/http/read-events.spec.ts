import { expect, test } from 'vitest';
import { readEvents } from './read-events.js';

/** All events of a text that comes in pieces of so many bytes. */
async function eventsOf(text: string, bytes: number) {
  async function* pieces() {
    const all = Buffer.from(text);
    for (let at = 0; at < all.length; at += bytes) yield all.subarray(at, at + bytes);
  }
  const found = [];
  for await (const events of readEvents(pieces())) found.push(...events);
  return found;
}

const TEXT =
  'retry: 1000\n\nevent: fact\ndata: {"a":"é: 1"}\nid: 7\n\n:\n\nevent: lag\ndata: {}\n\nevent: fact\ndata: {"cut"';

test.each([1, 2, 7, 1_000])('events are read that come in pieces of %i bytes', async (bytes) => {
  expect(await eventsOf(TEXT, bytes)).toEqual([
    { name: 'fact', data: '{"a":"é: 1"}', id: '7' },
    { name: 'lag', data: '{}', id: undefined },
  ]);
});
