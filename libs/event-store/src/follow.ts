import type { EventStore, RecordedEvent } from './port.js';

/**
 * Calls `onEvent` for every event of these categories that is appended from now on, until `signal` aborts. `onStart` is
 * called once the position to follow from is known: whatever is read after that is no older than what will be followed.
 * Fails when the store does: start it again, and read again what may have been missed.
 */
export async function followFromHead(
  store: EventStore,
  categories: readonly string[],
  signal: AbortSignal,
  onEvent: (event: RecordedEvent) => void,
  onStart: () => void = () => {},
): Promise<void> {
  const after = await store.head();
  onStart();
  for await (const { events } of store.subscribe({ categories, after, signal })) events.forEach(onEvent);
}
