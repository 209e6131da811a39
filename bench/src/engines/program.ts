/** What the programs of the engines have in common. Each is a process of its own, forked by engine.ts. */
import Fastify, { type FastifyInstance } from 'fastify';
import { PostgresLedger } from '../../../apps/payment/src/simulator/postgres-ledger.js';
import { SimulatedProvider } from '../../../apps/payment/src/simulator/simulated-provider.js';
import { postgresPool } from '../../../libs/runtime/src/postgres/index.js';
import { silentLog, SystemClock, SystemIds, SystemRandom } from '../../../libs/runtime/src/index.js';
import type { Order } from './tables.js';

export interface Settings {
  /** Which program of its engine this is. */
  readonly role: string;
  readonly port: number;
  /** By role, and the provider's. */
  readonly databases: Readonly<Record<string, string>>;
  /** Of all programs of the engine, by role. */
  readonly urls: Readonly<Record<string, string>>;
  /** What a unit of any SKU costs. */
  readonly unitMinor: number;
}

/** What engine.ts has started this program with. */
export function settingsOf(args: readonly string[]): Settings {
  return JSON.parse(args[2]!) as Settings;
}

/** Tells the bench that this program answers. It ends when the bench does. */
export function ready(): void {
  process.on('disconnect', () => process.exit());
  process.send!('ready');
}

/** The body of an order as the clients of all engines send it (bench/src/shop.ts). */
export interface OrderBody {
  readonly customerId: string;
  readonly lines: readonly { readonly sku: string; readonly quantity: number }[];
  readonly payment: { readonly token: string };
}

/** An order of one line, named by its Idempotency-Key. */
export function orderOf(key: string, { customerId, lines, payment }: OrderBody, unitMinor: number): Order {
  const { sku, quantity } = lines[0]!;
  return { orderId: key, customerId, sku, quantity, totalMinor: quantity * unitMinor, token: payment.token };
}

/** Answers `POST /orders` with what `checkout` returns for a new order, which is when it is completed. */
export function serveOrders(
  app: FastifyInstance,
  unitMinor: number,
  checkout: (order: Order) => Promise<unknown>,
): void {
  app.post<{ Body: OrderBody; Headers: { 'idempotency-key': string } }>('/orders', async ({ headers, body }) => {
    const order = orderOf(headers['idempotency-key'], body, unitMinor);
    await checkout(order);
    return { orderId: order.orderId, status: 'completed' };
  });
}

/** A server as Fastify makes it. */
export const newServer = (): FastifyInstance => Fastify();

/** POSTs JSON to another program of the engine. @throws unless it is answered with 2xx */
export async function post(url: string, body: unknown): Promise<void> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${text}`);
}

/** The payment provider of Larder's shop, with its books in a database of its own: for every engine the same. */
export function openProvider(url: string) {
  const runtime = { clock: new SystemClock(), ids: new SystemIds(), random: new SystemRandom(), log: silentLog };
  const nobodyListens = async () => {};
  const provider = new SimulatedProvider(new PostgresLedger(postgresPool(url)), nobodyListens, runtime);
  const requestOf = ({ orderId, totalMinor }: Order, operation: string) => ({
    orderId,
    idempotencyKey: `${orderId}:${operation}`,
    amount: { amountMinor: totalMinor, currency: 'EUR' },
  });
  return {
    /** Returns the id of the hold. */
    async authorize(order: Order): Promise<string> {
      const patient = new AbortController().signal;
      const answer = await provider.authorize({ ...requestOf(order, 'authorize'), token: order.token }, patient);
      if (answer.status !== 'authorized') throw new Error(`${order.orderId} was declined: ${answer.reason}.`);
      return answer.authorizationId;
    },
    /** Returns the id of the capture. */
    async capture(order: Order): Promise<string> {
      const answer = await provider.capture(requestOf(order, 'capture'));
      if (answer.status !== 'captured') throw new Error(`${order.orderId} was not captured: ${answer.reason}.`);
      return answer.captureId;
    },
  };
}
