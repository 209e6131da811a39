import { type Clock, endsWithin } from '#runtime';
import type { Batch, EventStore } from './port.js';

/** A batch of so many events shows that more are available: then there is no need to wait for others to join it. */
const FULL = 500;

/**
 * A subscription at a pace that suits its consumer. Far behind, the next batch is fetched while the consumer works on
 * one. At the end of the log, events that arrive within `gatherMs` of the last batch come as one batch. A batch without
 * events only moves the position: it is held back for up to `quietMs`, and left out when another one arrives by then.
 * Both are 0 by default. Ends the subscription when the consumer stops.
 */
export async function* readAhead(
  store: EventStore,
  { signal, ...from }: Parameters<EventStore['subscribe']>[0],
  { clock, quietMs = 0, gatherMs = 0 }: { clock: Clock; quietMs?: number; gatherMs?: number },
): AsyncGenerator<Batch> {
  const stop = new AbortController();
  const stopped = AbortSignal.any([signal, stop.signal]);
  const batches = store.subscribe({ ...from, signal: stopped });
  const iterator = batches[Symbol.asyncIterator]();
  const pull = () => {
    const pulled = iterator.next();
    pulled.catch(() => {}); // It may fail before it is awaited, and then it is reported where it is awaited.
    return pulled;
  };
  let next = pull();
  let yieldedMs = -Infinity;
  try {
    while (true) {
      const { done, value: batch } = await next;
      if (done) return;
      const ahead = batch.events.length === 0 || batch.events.length >= FULL || gatherMs === 0;
      if (ahead) next = pull();
      const heldMs = yieldedMs + quietMs - clock.monotonicMs();
      if (batch.events.length === 0 && heldMs > 0 && (await endsWithin(clock, heldMs, next))) continue;
      yield batch;
      yieldedMs = clock.monotonicMs();
      if (ahead) continue;
      await clock.sleep(gatherMs, stopped);
      next = pull();
    }
  } finally {
    stop.abort();
    await next.catch(() => {});
  }
}
