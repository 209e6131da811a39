/**
 * A shop in which there are people everywhere: whose orders end in every way, are repeated, refused, parked and looked at,
 * and who get into requests in every way that is wrong.
 */
import { randomUUID } from 'node:crypto';
import { orderEvents } from '#contracts';
import { archive } from '#event-store/postgres';
import { type Random, silentLog, SystemClock } from '#runtime';
import { postgresPool } from '#runtime/postgres';
import { openMessageBus } from '#service/adapters';
import type { Recipient } from '../../apps/order/src/recipient.js';
import { services } from '../../apps/shop.js';
import { call, type Headers } from '../../scripts/lib/api.js';
import type { Shop } from '../shop/open-shop.js';
import type { Customer } from './answers.js';
import { newPerson, type Person } from './people.js';
import { inDatabase, nameOf, storePlainly } from './places.js';

/** More events than there are between two snapshots. */
const RECEIPTS = 110;

export interface Filled {
  readonly customers: readonly Customer[];
  /** Are only in requests that are refused. */
  readonly others: readonly Person[];
}

interface OrderOptions {
  readonly sku?: string;
  readonly token?: string;
  readonly recipient?: Recipient;
  readonly caller?: Headers;
  readonly key?: string;
  /** How it is answered. */
  readonly status?: number;
}

/** Sends an order of a person, and returns its id. @throws when it is answered with another status */
export async function sendOrder(
  shop: Shop,
  { customerId, who, recipient: own }: Person,
  options: OrderOptions = {},
  instance = 0,
): Promise<string> {
  const { sku = 'honey', token = 'tok_approved', recipient = own, caller, key = randomUUID(), status = 202 } = options;
  const body = { lines: [{ sku, quantity: 1 }], payment: { token }, recipient, ...(caller && { customerId }) };
  const response = await fetch(`${shop.order[instance]}/orders`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'idempotency-key': key,
      ...(caller ?? shop.as(customerId, 'customer')),
    },
    body: JSON.stringify(body),
  });
  const { orderId } = (await response.json()) as { orderId: string };
  if (response.status !== status)
    throw new Error(`An order of the customer ${who} was answered with ${response.status}, and not with ${status}.`);
  return orderId;
}

export async function fillShop(shop: Shop, random: Random): Promise<Filled> {
  await storePlainly(shop.databases);
  await shop.setPrices({ honey: 895, truffle: 9_900 });
  await Promise.all(Array.from({ length: RECEIPTS }, () => shop.stockUp({ honey: 10 })));
  const person = (who: string) => newPerson(who, random);
  const others = [
    person('who is named in a second request'),
    person('whose requests are refused'),
    person('who comes while the key store is silent'),
  ] as const;
  const customers = await Promise.all([
    completes(shop, person('whose orders are completed')),
    finds(shop, person('who finds the shelf empty'), { sku: 'truffle' }),
    finds(shop, person('whose payment is declined'), { token: 'tok_declined' }),
    cancels(shop, person('who cancels')),
    finds(shop, person('for whom a clerk orders'), { caller: shop.as('clerk', 'clerk') }),
    repeats(shop, person('who sends an order twice'), others[0]),
    parks(shop, person('of whom a message is parked')),
    waits(shop, person('whose order waits')),
    finds(shop, person('who stays')),
    finds(shop, person('who comes back')),
  ]);
  await sendWrongRequests(shop, others[1]);
  await whileKeyStoreIsSilent(shop, () => sendOrder(shop, others[2], { status: 503 }));
  return { customers, others };
}

async function finds(shop: Shop, person: Person, options: OrderOptions = {}): Promise<Customer> {
  const orderId = await sendOrder(shop, person, options);
  await shop.settled(orderId);
  return { ...person, orderIds: [orderId] };
}

async function completes(shop: Shop, person: Person): Promise<Customer> {
  const orders = await Promise.all([finds(shop, person), finds(shop, person)]);
  return { ...person, orderIds: orders.flatMap(({ orderIds }) => orderIds) };
}

async function cancels(shop: Shop, person: Person): Promise<Customer> {
  const orderId = await sendOrder(shop, person, { token: 'tok_slow' });
  const headers = shop.as(person.customerId, 'customer');
  await fetch(`${shop.order[0]}/orders/${orderId}/cancel`, { method: 'POST', headers });
  await shop.settled(orderId);
  return { ...person, orderIds: [orderId] };
}

async function repeats(shop: Shop, person: Person, other: Person): Promise<Customer> {
  const key = randomUUID();
  const orderId = await sendOrder(shop, person, { key });
  const again = await sendOrder(shop, person, { key });
  if (again !== orderId) throw new Error('An order that was sent twice was placed twice.');
  await sendOrder(shop, person, { key, recipient: other.recipient, status: 422 });
  await shop.settled(orderId);
  return { ...person, orderIds: [orderId] };
}

/** Publishes a message about the order that nobody can handle, and that carries all that the order's event does. */
async function parks(shop: Shop, person: Person): Promise<Customer> {
  const customer = await finds(shop, person);
  const [orderId] = customer.orderIds as [string];
  const { rows } = await inDatabase(shop.databases, nameOf(shop.databases.order), (client) =>
    client.query<{ data: object }>(`SELECT data FROM event_store.log WHERE stream = $1 AND type = 'OrderPlaced'`, [
      `order-${orderId}`,
    ]),
  );
  await publish(shop, orderId, { ...rows[0]!.data, orderId, lines: 'many' });
  await shop.until('a message is dead', async () => {
    const url = `${shop.inventory[0]}/admin/dead-letters`;
    const { items } = await call<{ items: unknown[] }>('GET', url, undefined, shop.anybody);
    return { done: items.length > 0, found: items };
  });
  return customer;
}

/** Sends a message on the topic of orders as the order service would. */
export async function publish(shop: Shop, orderId: string, data: object): Promise<void> {
  const clock = new SystemClock();
  const bus = await openMessageBus(shop.databases.bus, { clock, log: silentLog });
  const time = clock.now().toISOString();
  const message = { id: randomUUID(), type: 'OrderPlaced', source: '/order', time, key: orderId, data };
  await bus.publish(orderEvents.name, [{ ...message, correlationId: 'a proof' }]);
  await bus.close();
}

/** The provider refuses to capture: the order is in the inbox until somebody decides. */
async function waits(shop: Shop, person: Person): Promise<Customer> {
  const orderId = await sendOrder(shop, person, { token: 'tok_capture_refused' });
  await shop.until('an order waits for a person', async () => {
    const url = `${shop.order[0]}/admin/attention`;
    const { items } = await call<{ items: { orderId: string }[] }>('GET', url, undefined, shop.anybody);
    return { done: items.some((item) => item.orderId === orderId), found: items };
  });
  return { ...person, orderIds: [orderId] };
}

/** What a person decides about an order that waits. */
export async function callOff(shop: Shop, orderId: string): Promise<void> {
  const decision = { decision: 'call-off', reason: 'The card was cancelled.' };
  await call('POST', `${shop.order[0]}/admin/attention/${orderId}`, decision, shop.anybody);
  await shop.settled(orderId);
}

/** Requests that are refused, each with the recipient in another place. */
async function sendWrongRequests(shop: Shop, { customerId, recipient }: Person): Promise<void> {
  const caller = shop.as(customerId, 'customer');
  const good = { lines: [{ sku: 'honey', quantity: 1 }], payment: { token: 'tok_approved' }, recipient };
  const { name, address } = recipient;
  const text = encodeURIComponent(name);
  const amiss: Record<string, object> = {
    'an email that is none': { recipient: { ...recipient, email: name } },
    'a name that is too long': { recipient: { ...recipient, name: name.repeat(100) } },
    'a field that nobody knows': { recipient: { ...recipient, [name]: name } },
    'a country that is none': { recipient: { ...recipient, address: { ...address, country: address.city } } },
    'a recipient that is a text': { recipient: JSON.stringify(recipient) },
    'an unknown SKU': { lines: [{ sku: 'sold-nowhere', quantity: 1 }] },
    'another total': { expectedTotal: { amountMinor: 1, currency: 'EUR' } },
    'a name for a SKU': { lines: [{ sku: name, quantity: 1 }] },
  };
  const post = (body: string, headers: Headers) =>
    ['/orders', { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } }] as const;
  const keyed = () => ({ 'idempotency-key': randomUUID(), ...caller });
  const json = JSON.stringify(good);
  const wrong: Record<string, readonly [path: string, request: RequestInit]> = {
    ...Object.fromEntries(
      Object.entries(amiss).map(([what, parts]) => [what, post(JSON.stringify({ ...good, ...parts }), keyed())]),
    ),
    'JSON that ends early': post(json.slice(0, -9), keyed()),
    'JSON with the name outside': post(`{ "recipient": ${name} }`, keyed()),
    'no Idempotency-Key': post(json, caller),
    'no token': post(json, { 'idempotency-key': randomUUID() }),
    'a token of nobody': post(json, { 'idempotency-key': randomUUID(), authorization: `Bearer ${text}` }),
    'a role that may not': post(json, { 'idempotency-key': randomUUID(), ...shop.as('machine', 'service') }),
    'a form': post(new URLSearchParams({ name }).toString(), {
      ...keyed(),
      'content-type': 'application/x-www-form-urlencoded',
    }),
    'a position that is none': post(json, { ...keyed(), 'larder-position': text }),
    'the name in a query': [`/orders?name=${text}&customerId=${text}&cursor=${text}`, { headers: caller }],
    'the name in a path': [`/orders/${text}`, { headers: caller }],
    'the name in the path of a customer': [`/customers/${text}/personal-data`, { headers: caller }],
    'a route that is not there': [`/${text}`, { headers: caller }],
  };
  for (const [what, [path, request]] of Object.entries(wrong)) {
    const { status } = await fetch(`${shop.order[0]}${path}`, request);
    if (status < 400 || status >= 500) throw new Error(`A request with ${what} was answered with ${status}.`);
  }
}

/** The key store answers nobody meanwhile. */
async function whileKeyStoreIsSilent({ databases }: Shop, work: () => Promise<unknown>): Promise<void> {
  await inDatabase(databases, nameOf(databases.customer_keys), async (client) => {
    await client.query('BEGIN; LOCK TABLE customer_keys');
    await work();
    await client.query('COMMIT');
  });
}

/** Moves all events to the archive. */
export async function archiveAll({ databases }: Shop): Promise<void> {
  for (const service of services) {
    const pool = postgresPool(databases[service], { max: 1, name: 'larder-archive', answerMs: 0 });
    try {
      await archive(pool, new SystemClock().now());
    } finally {
      await pool.end();
    }
  }
}
