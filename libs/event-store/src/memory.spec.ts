import { expect, test } from 'vitest';
import { SystemClock } from '#runtime';
import { eventStoreContract } from './contract.js';
import { MemoryEvents, MemoryEventStore } from './memory.js';
import type { NewEvent } from './port.js';

const shared = new MemoryEvents();
eventStoreContract('the event store in memory', async () => new MemoryEventStore(new SystemClock(), shared));

test('a reader cannot change what other readers see', async () => {
  const store = new MemoryEventStore(new SystemClock());
  const metadata = { correlationId: 'c', causationId: 'm', schema: 1 };
  const events: NewEvent[] = [{ id: '1', type: 'Noted', data: { lines: [1] }, metadata }];
  await store.append([{ stream: 'note-1', expected: 'none', events }]);
  for await (const event of store.read('note-1')) {
    expect(() => (event.data as { lines: number[] }).lines.push(2)).toThrow(TypeError);
  }
});

test('the events outlive the store that wrote them', async () => {
  const events = new MemoryEvents();
  const store = new MemoryEventStore(new SystemClock(), events);
  const metadata = { correlationId: 'c', causationId: 'm', schema: 1 };
  await store.append([
    { stream: 'note-1', expected: 'none', events: [{ id: '1', type: 'Noted', data: {}, metadata }] },
  ]);
  await store.close();
  expect(await new MemoryEventStore(new SystemClock(), events).head()).toBe(1n);
});
