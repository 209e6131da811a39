/**
 * Looks after orders that wait: calls off what was not confirmed in time, and reminds the others of what an order wants
 * of them. What is due is a projection of the orders, so it is found again after any crash; one instance at a time works
 * it off.
 */
import type { Tables } from '#projections';
import type { Clock, Leases, Log } from '#runtime';
import { orderTodo } from './read-models/order-todo.js';

const AT_ONCE = 100;

export async function watchdog(options: {
  tables: Tables;
  leases: Leases;
  clock: Clock;
  log: Log;
  /** Calls off one order whose deadline has passed. One that was decided in the meantime stays as it is. */
  expire: (orderId: string) => Promise<unknown>;
  /** Sends reminder number `attempt`, unless it was sent or is not needed any more. */
  remind: (orderId: string, attempt: number) => Promise<unknown>;
  /** How often it looks, in milliseconds: a deadline is kept about as exactly. */
  everyMs: number;
  signal: AbortSignal;
}): Promise<void> {
  const { tables, leases, clock, log, expire, remind, everyMs, signal } = options;
  await leases.hold('watchdog', signal, async (lease) => {
    while (!lease.aborted) {
      const now = clock.now();
      const due = await tables.due(orderTodo, 'due_at', now, AT_ONCE);
      const results = await Promise.allSettled(
        due.map(({ order_id, deadline_at, reminders }) =>
          deadline_at !== null && Date.parse(deadline_at as string) <= now.getTime()
            ? expire(order_id as string)
            : remind(order_id as string, (reminders as number) + 1),
        ),
      );
      for (const [i, result] of results.entries()) {
        if (result.status === 'fulfilled') continue;
        const orderId = due[i]?.['order_id'];
        log.warn({ orderId, err: result.reason }, 'An order that waits could not be looked after; it is tried again.');
      }
      await clock.sleep(everyMs, lease);
    }
  });
}
