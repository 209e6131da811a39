import { beforeEach, expect, test } from 'vitest';
import { MemoryEventStore } from '#event-store';
import { MemoryTables, type Projection } from '#projections';
import { MemoryCheckpoints } from '#runtime';
import { ManualClock } from '#runtime/testing';
import { assertCheckpoints } from './checkpoints.js';

const projection: Projection<{ id: string }, never> = {
  name: 'order-summary',
  table: 'order_summary',
  categories: ['order'],
  keyColumns: ['id'],
  key: () => ({ id: 'a' }),
  apply: (row) => row,
};
const definition = { name: 'order', projections: [projection] };

let ports: { store: MemoryEventStore; tables: MemoryTables; checkpoints: MemoryCheckpoints };
beforeEach(async () => {
  ports = {
    store: new MemoryEventStore(new ManualClock()),
    tables: new MemoryTables(),
    checkpoints: new MemoryCheckpoints(),
  };
  const metadata = { correlationId: 'c', causationId: 'c', schema: 1 };
  const event = { id: 'e', type: 'OrderPlaced', data: {}, metadata };
  await ports.store.append([{ stream: 'order-1', expected: 'none', events: [event] }]);
});

test('checkpoints up to the end of the store are its own', async () => {
  await assertCheckpoints(definition, ports);
  await ports.checkpoints.save('order', 1n);
  await ports.tables.commit({ projection, from: 0n, to: 1n, upserts: [], deletes: [] });
  await assertCheckpoints(definition, ports);
});

test('a checkpoint beyond the end of the store is refused by name', async () => {
  await ports.tables.commit({ projection, from: 0n, to: 2n, upserts: [], deletes: [] });
  await expect(assertCheckpoints(definition, ports)).rejects.toThrow(
    'The checkpoint of order-summary, 2, is beyond the end of the event store, 1: this database was filled from another store',
  );
});
