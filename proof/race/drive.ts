/**
 * The race: customers who all want the same few things at once, at every instance, and who change their minds at the
 * worst moment. There is less of everything than is asked for; what comes in late, or back, is fought over again.
 */
import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '#runtime';
import type { Shop } from '../shop/open-shop.js';

export const SKUS = ['olive-oil', 'honey', 'coffee', 'truffle'] as const;

/** How many customers want something at the same time. */
const CUSTOMERS = 96;
/** There is a lot of each SKU to begin with, and another one each time that this many orders were placed. */
const LOT_EVERY = 400;
const LOT = 30;
/** A busy service may answer with 503: the client then tries again. */
const PAUSE_MS = 50;
const ATTEMPTS = 600;

export interface Driven {
  /** The ids of all orders that were accepted. */
  readonly orderIds: Set<string>;
  /** The units that came in, by SKU. */
  readonly received: Record<string, number>;
  /** Cancellations by their answer: 202, or 409 when the order was confirmed already. */
  readonly cancellations: { accepted: number; tooLate: number };
  /** Requests that had to be repeated. */
  repeated: number;
}

/** Places `orders` orders and fights over them. Comes back when every request was answered; `driven` shows how far it is. */
export async function drive(
  shop: Shop,
  { orders, random }: { readonly orders: number; readonly random: Random },
  driven: Driven,
): Promise<void> {
  // Keep-alive, and no more connections than customers: with fetch() the client would be the slowest runner.
  const agent = new Agent({ keepAlive: true, maxSockets: CUSTOMERS });
  const any = <T>(items: readonly T[]): T => items[Math.floor(random.next() * items.length)]!;
  let next = 0;
  /** About how long a checkout takes now: who wants to race its pivot has to know. */
  let typicalMs = 100;

  /** The answer to a request that is repeated until there is one, each time at another instance. */
  async function send(method: string, bases: readonly string[], path: string, body?: object, headers = {}) {
    for (let attempt = 1; ; attempt++) {
      const answer = await answerOf(agent, method, `${any(bases)}${path}`, body, { ...headers, ...shop.anybody }).catch(
        (error: Error) => ({
          status: 503,
          body: error.message,
        }),
      );
      if (answer.status < 500) return answer;
      if (attempt === ATTEMPTS) throw new Error(`${method} ${path} was never answered: ${answer.body}`);
      driven.repeated++;
      await sleep(PAUSE_MS);
    }
  }

  async function receive(sku: string): Promise<void> {
    const key = { 'idempotency-key': randomUUID() };
    const { status, body } = await send('POST', shop.inventory, `/stock/${sku}/receipts`, { quantity: LOT }, key);
    if (status !== 201) throw new Error(`A receipt was refused: ${body}`);
    driven.received[sku] = (driven.received[sku] ?? 0) + LOT;
  }

  async function cancel(orderId: string): Promise<void> {
    const { status, body } = await send('POST', shop.order, `/orders/${orderId}/cancel`);
    if (status === 202) driven.cancellations.accepted++;
    else if (status === 409) driven.cancellations.tooLate++;
    else throw new Error(`A cancellation was answered with ${status}: ${body}`);
  }

  async function customer(): Promise<void> {
    while (next < orders) {
      const nth = next++;
      if (nth % LOT_EVERY === 0) await Promise.all(SKUS.map(receive));
      const first = any(SKUS);
      const second = any(SKUS);
      const mood = random.next();
      const more = second !== first && random.next() < 0.3 ? [{ sku: second, quantity: 2 }] : [];
      const order = {
        customerId: randomUUID(),
        lines: [{ sku: first, quantity: 1 }, ...more],
        payment: { token: random.next() < 0.05 ? 'tok_declined' : 'tok_approved' },
      };
      const stays = mood < 0.5;
      const headers = { 'idempotency-key': randomUUID(), ...(stays && { prefer: 'wait=30' }) };
      const startedMs = performance.now();
      const { status, body } = await send('POST', shop.order, '/orders', order, headers);
      if (status >= 300) throw new Error(`An order was answered with ${status}: ${body}`);
      const { orderId } = JSON.parse(body) as { orderId: string };
      driven.orderIds.add(orderId);
      // Some stay. Some race the reservation, some the pivot, and some have two hands.
      if (stays) typicalMs += (performance.now() - startedMs - typicalMs) / 50;
      else if (mood < 0.65) await cancel(orderId);
      else if (mood < 0.9) await sleep(2 * typicalMs * random.next()).then(() => cancel(orderId));
      else await Promise.all([cancel(orderId), cancel(orderId)]);
    }
  }

  try {
    await Promise.all(SKUS.map(receive));
    await Promise.all(Array.from({ length: CUSTOMERS }, customer));
  } finally {
    agent.destroy();
  }
}

function answerOf(
  agent: Agent,
  method: string,
  url: string,
  body: object | undefined,
  headers: Record<string, string>,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const json = body && JSON.stringify(body);
    const type = json ? { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) } : {};
    const sent = request(url, { method, agent, headers: { ...headers, ...type } }, (response) => {
      let text = '';
      response
        .setEncoding('utf8')
        .on('data', (part: string) => (text += part))
        .on('end', () => resolve({ status: response.statusCode!, body: text }))
        .on('error', reject);
    });
    sent.on('error', reject).end(json);
  });
}
