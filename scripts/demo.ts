/**
 * `npm run demo`: four orders, and what happens to each across the services, as it happens.
 *
 * Every line is a step with the milliseconds since the order was placed: the order's own events, and each new status of
 * its reservation and its payment. The services are polled, and steps are held back for a moment, so that one that is
 * seen late is still printed in its place.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Advice } from './lib/advice.js';
import { actAs, call, find } from './lib/api.js';
import { bold, cyan, dim, green, magenta, red, yellow } from './lib/screen.js';
import { type Service, services } from '../apps/shop.js';
import { urlOf } from './lib/addresses.js';

const SKU = 'olive-oil';
/** Less often than the limit of one caller allows. */
const POLL_MS = 60;
const HOLD_BACK_MS = 150;
const PATIENCE_MS = 60_000;

interface Step {
  /** Milliseconds since 1970. */
  readonly atMs: number;
  readonly service: Service;
  readonly what: string;
  readonly detail: string;
}

interface History {
  readonly order: { readonly status: string; readonly reason?: string; readonly settled: boolean };
  readonly events: readonly { readonly type: string; readonly at: string; readonly data: Record<string, unknown> }[];
}

interface Status {
  readonly status: string;
  readonly reason?: string;
  readonly updatedAt: string;
}

const colours: Partial<Record<Service, (text: string) => string>> = {
  order: cyan,
  inventory: yellow,
  payment: magenta,
};
const endings: Record<string, (text: string) => string> = { completed: green, rejected: red, cancelled: yellow };

export const usage = 'npm run demo, while the shop is open.';

export async function main(): Promise<void> {
  await refuseWhileClosed();
  const available = await availableUnits();
  await follow('An order that succeeds', 1, 'tok_approved');
  await follow('An order for more than is in stock', available + 1, 'tok_approved');
  await follow('An order with a declined card', 1, 'tok_declined');
  await follow('An order that the customer cancels', 1, 'tok_slow', { cancelAfter: 'OrderStockReserved' });
}

async function refuseWhileClosed(): Promise<void> {
  for (const service of services) {
    const health = await fetch(`${urlOf(service)}/health/ready`).catch(() => undefined);
    if (!health?.ok)
      throw new Advice(
        `The shop is not open: ${service} is not ready at ${urlOf(service)}. Open it with \`npm start\`.`,
      );
  }
}

async function availableUnits(): Promise<number> {
  const stock = await find<{ available: number }>(`${urlOf('inventory')}/stock/${SKU}`, actAs('clerk'));
  if (!stock?.available)
    throw new Advice(`${SKU} is out of stock. Close the shop, then run \`npm run reset\` and \`npm start\`.`);
  return stock.available;
}

/** Places an order and prints its steps until it is settled. */
async function follow(
  title: string,
  quantity: number,
  token: string,
  { cancelAfter }: { cancelAfter?: string } = {},
): Promise<void> {
  const order = { lines: [{ sku: SKU, quantity }], payment: { token } };
  const headers = { 'idempotency-key': randomUUID(), ...actAs('customer') };
  const { orderId } = await call<{ orderId: string }>('POST', `${urlOf('order')}/orders`, order, headers);
  console.log(`\n${bold(title)}  ${dim(`${quantity} × ${SKU}, ${token}, order ${orderId}`)}`);

  const seen = new Set<string>();
  const waiting: Step[] = [];
  let placedMs = 0;
  let cancelled = false;
  for (const sinceMs = performance.now(); ; await sleep(POLL_MS)) {
    const { history, steps } = await readSteps(orderId);
    placedMs ||= Date.parse(history.events[0]!.at);
    for (const step of steps) {
      const id = `${step.service} ${step.what}`;
      if (!seen.has(id)) waiting.push(step);
      seen.add(id);
    }
    if (cancelAfter && !cancelled && history.events.some(({ type }) => type === cancelAfter)) {
      cancelled = true;
      await call('POST', `${urlOf('order')}/orders/${orderId}/cancel`, undefined, actAs('customer'));
    }
    const isLast = history.order.settled && Date.now() - Date.parse(history.events.at(-1)!.at) > HOLD_BACK_MS;
    waiting.sort((a, b) => a.atMs - b.atMs);
    while (waiting[0] && (isLast || Date.now() - waiting[0].atMs > HOLD_BACK_MS)) print(waiting.shift()!, placedMs);
    if (isLast) {
      const { status, reason } = history.order;
      return console.log(`            ${(endings[status] ?? bold)(reason ? `${status}: ${reason}` : status)}`);
    }
    if (performance.now() - sinceMs > PATIENCE_MS)
      throw new Advice(
        `Order ${orderId} is still not settled after ${PATIENCE_MS / 1000} s. See the logs of the services.`,
      );
  }
}

/** An order's history, and its steps in all services so far. */
async function readSteps(orderId: string): Promise<{ history: History; steps: Step[] }> {
  const [history, reservation, payment] = await Promise.all([
    call<History>('GET', `${urlOf('order')}/orders/${orderId}/history`, undefined, actAs('customer')),
    find<Status>(`${urlOf('inventory')}/reservations/${orderId}`, actAs('clerk')),
    find<Status>(`${urlOf('payment')}/payments/${orderId}`, actAs('clerk')),
  ]);
  const ofOrder = history.events.map(({ type, at, data }): Step => {
    const detail = [data['reason'], data['detail'], data['outcome']].filter(Boolean).join(', ');
    return { atMs: Date.parse(at), service: 'order', what: type, detail };
  });
  const stepsOf = (service: Service, kind: string, it: Status | undefined): Step[] =>
    it ? [{ atMs: Date.parse(it.updatedAt), service, what: `${kind} ${it.status}`, detail: it.reason ?? '' }] : [];
  const steps = [
    ...ofOrder,
    ...stepsOf('inventory', 'reservation', reservation),
    ...stepsOf('payment', 'payment', payment),
  ];
  return { history, steps };
}

function print({ atMs, service, what, detail }: Step, placedMs: number): void {
  const since = `${Math.max(0, atMs - placedMs)} ms`.padStart(10);
  console.log(
    `${since}  ${(colours[service] ?? bold)(service.padEnd(9))}  ${what.padEnd(22)}${detail && `  ${dim(detail)}`}`.trimEnd(),
  );
}
