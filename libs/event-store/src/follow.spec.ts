import { expect, test } from 'vitest';
import { SystemClock } from '#runtime';
import { followFromHead } from './follow.js';
import { MemoryEventStore } from './memory.js';

test('following from the head delivers what is appended after the start, in these categories, until it is aborted', async () => {
  const store = new MemoryEventStore(new SystemClock());
  const metadata = { correlationId: 'c', causationId: 'm', schema: 1 };
  const append = (stream: string) =>
    store.append([{ stream, expected: 'none', events: [{ id: stream, type: 'Noted', data: {}, metadata }] }]);
  await append('note-before');

  const stop = new AbortController();
  const followed: string[] = [];
  await followFromHead(store, ['note'], stop.signal, ({ events, position }) => {
    if (position === 1n) ['note-first', 'other-1', 'note-last'].forEach(append);
    followed.push(...events.map(({ stream }) => stream));
    if (followed.includes('note-last')) stop.abort();
  });
  expect(followed).toEqual(['note-first', 'note-last']);
});
