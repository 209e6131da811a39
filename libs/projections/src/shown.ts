/** The moments at which read models showed events are kept for a week: the stories of orders tell them. */
import type { Clock } from '#runtime';
import type { Tables } from './port.js';
import type { AnyProjection } from './projection.js';

export const SHOWN_KEPT_MS = 7 * 24 * 60 * 60_000;
const LOOK_EVERY_MS = 60 * 60_000;

/** Forgets those that are older, now and every hour, until `signal` aborts. Several instances may. */
export async function forgetOldShown(
  projections: readonly AnyProjection[],
  { tables, clock }: { readonly tables: Tables; readonly clock: Clock },
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const before = new Date(clock.now().getTime() - SHOWN_KEPT_MS);
    for (const projection of projections) {
      while (!signal.aborted && (await tables.forgetShown(projection, before)) > 0);
    }
    await clock.sleep(LOOK_EVERY_MS, signal);
  }
}
