/**
 * Calls off orders that were not confirmed in time. The list of deadlines is a projection of the orders, so it is found
 * again after any crash; one instance at a time works it off.
 */
import type { Tables } from '#projections';
import type { Clock, Leases, Log } from '#runtime';
import { orderDeadline } from './read-models/order-deadline.js';

const AT_ONCE = 100;

export async function watchdog(options: {
  tables: Tables;
  leases: Leases;
  clock: Clock;
  log: Log;
  /** Expires one order. An order that was decided in the meantime stays as it is. */
  expire: (orderId: string) => Promise<unknown>;
  /** How often it looks, in milliseconds: a deadline is kept about as exactly. */
  everyMs: number;
  signal: AbortSignal;
}): Promise<void> {
  const { tables, leases, clock, log, expire, everyMs, signal } = options;
  await leases.hold('watchdog', signal, async (lease) => {
    while (!lease.aborted) {
      const due = await tables.due(orderDeadline, 'due_at', clock.now(), AT_ONCE);
      const results = await Promise.allSettled(due.map((row) => expire(String(row['order_id']))));
      for (const [i, result] of results.entries()) {
        if (result.status === 'rejected') {
          log.warn(
            { orderId: due[i]?.['order_id'], err: result.reason },
            'An order could not be expired; it is tried again.',
          );
        }
      }
      await clock.sleep(everyMs, lease);
    }
  });
}
