import type { Batch, EventStore } from './port.js';

/**
 * Calls `onBatch` for every batch of these categories that is appended from now on, until `signal` aborts; first of all
 * for one without events, at the position that it follows from: whatever is read after that is no older. Fails when the
 * store does: start it again, and read again what may have been missed.
 */
export async function followFromHead(
  store: EventStore,
  categories: readonly string[],
  signal: AbortSignal,
  onBatch: (batch: Batch) => void,
): Promise<void> {
  const after = await store.head();
  onBatch({ events: [], position: after });
  for await (const batch of store.subscribe({ categories, after, signal })) onBatch(batch);
}
