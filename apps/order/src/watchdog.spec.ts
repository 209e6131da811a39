import { expect, test } from 'vitest';
import { MemoryTables } from '#projections';
import { MemoryLeases, silentLog } from '#runtime';
import { ManualClock } from '#runtime/testing';
import { type OrderTodoRow, orderTodo } from './read-models/order-todo.js';
import { watchdog } from './watchdog.js';

/** Runs the watchdog over `count` orders that are due; those before `failing` cannot be processed. */
async function watch(count: number, failing = 0) {
  const clock = new ManualClock();
  const tables = new MemoryTables();
  const now = clock.now().toISOString();
  const upserts = Array.from({ length: count }, (_, n) => {
    const order_id = String(n).padStart(6, '0');
    // Each second one has passed its deadline; the others are to be reminded.
    const deadline_at = n % 2 === 0 ? now : null;
    const row: OrderTodoRow = {
      order_id,
      wants: 'stock',
      question: false,
      reminders: 0,
      deadline_at,
      due_at: now,
      attention_at: null,
      attended_at: null,
    };
    return { ...row };
  });
  await tables.commit({ projection: orderTodo, from: 0n, to: 1n, upserts, deletes: [] });
  const processed: string[] = [];
  const process = async (orderId: string) => {
    if (Number(orderId) < failing) throw new Error('The store cannot read it.');
    processed.push(orderId);
  };
  const stopping = new AbortController();
  const running = watchdog({
    tables,
    leases: new MemoryLeases(),
    clock,
    log: silentLog,
    expire: process,
    remind: process,
    everyMs: 1_000,
    signal: stopping.signal,
  });
  const stop = async () => {
    stopping.abort();
    await running;
  };
  return { clock, processed, stop };
}

test('however many orders are due, one look processes each of them once', async () => {
  const { clock, processed, stop } = await watch(6_000);
  await clock.advance(999);
  expect(new Set(processed).size).toBe(6_000);
  expect(processed).toHaveLength(6_000);
  await stop();
});

test('orders that cannot be processed do not keep it from those behind them, and are tried at the next look', async () => {
  const { clock, processed, stop } = await watch(350, 300);
  await clock.advance(999);
  expect(processed).toHaveLength(50);
  await clock.advance(1_000);
  expect(processed).toHaveLength(100);
  await stop();
});
