/**
 * Looks after orders that wait: cancels those that were not confirmed in time, and reminds the other services of what an
 * order wants from them. What is due is a projection of the orders, so it is found again after any crash. One instance
 * at a time processes it.
 */
import type { Tables } from '#projections';
import type { Clock, Leases, Log } from '#runtime';
import { type OrderTodoRow, orderTodo } from './read-models/order-todo.js';

/** How many orders it processes at the same time. */
const MAX_AT_ONCE = 100;

export async function watchdog(options: {
  tables: Tables;
  leases: Leases;
  clock: Clock;
  log: Log;
  /** Cancels an order whose deadline has passed. One that was decided in the meantime stays as it is. */
  expire: (orderId: string) => Promise<unknown>;
  /** Sends reminder number `attempt`, unless it was already sent or is no longer needed. */
  remind: (orderId: string, attempt: number) => Promise<unknown>;
  /** How often it polls, in milliseconds; deadlines are kept with about this precision. */
  everyMs: number;
  signal: AbortSignal;
}): Promise<void> {
  const { tables, leases, clock, log, expire, remind, everyMs, signal } = options;
  await leases.hold('watchdog', signal, async (lease) => {
    while (!lease.aborted) {
      await processAll(clock.now(), lease);
      await clock.sleep(everyMs, lease);
    }
  });

  /** Looks at each order once that is due at `now`, so that one that cannot be processed holds up no other. */
  async function processAll(now: Date, lease: AbortSignal): Promise<void> {
    let last: OrderTodoRow | undefined;
    do {
      const due = await tables.due(orderTodo, 'due_at', now, MAX_AT_ONCE, last);
      last = due.length === MAX_AT_ONCE ? due.at(-1) : undefined;
      const results = await Promise.allSettled(
        due.map(({ order_id, deadline_at, reminders }) =>
          deadline_at !== null && Date.parse(deadline_at) <= now.getTime()
            ? expire(order_id)
            : remind(order_id, reminders + 1),
        ),
      );
      for (const [i, result] of results.entries()) {
        if (result.status === 'fulfilled') continue;
        const orderId = due[i]?.order_id;
        log.warn({ orderId, err: result.reason }, 'A waiting order could not be processed; retrying.');
      }
    } while (last && !lease.aborted);
  }
}
