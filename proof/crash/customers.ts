/**
 * The load of the crash matrix: customers, and a clerk, who cause every outcome that a checkout can have, and who repeat a
 * request that was not answered. What they want is random (seeded); how it ends is up to the shop.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '#runtime';
import { call } from '../../scripts/lib/api.js';
import type { OrderRequest, OrderView, Shop } from '../shop/open-shop.js';

/** For the order service: an order that the provider keeps waiting for longer than this is called off. */
export const ORDER_DEADLINE = '2500ms';

const CUSTOMERS = 6;
/** A customer thinks for a moment between two orders, so that the load is steady also where machines are fast. */
const PAUSE_MS = 60;

const WISHES = [
  'get something',
  'get more than there is',
  'pay with a bad card',
  'wait for a bad connection',
  'wait too long',
  'cancel at once',
  'cancel while paying',
  'cancel at the pivot',
  'be refused',
  'have it called off late',
  'meet a provider that errs',
  'be forgotten',
  'bring something',
  'set a price',
  'end a sale',
] as const;
export type Wish = (typeof WISHES)[number];

/** Of those who have it called off late. */
const LATE = ['tok_approved', 'tok_refund_refused_once', 'tok_refunded_in_part'];
/** A second hold, half of the sum, and all of it given back, none of which anybody asked for. */
const ERRING = ['tok_held_twice', 'tok_captured_in_part', 'tok_refunded_by_provider'];

const RECIPIENT = {
  name: 'Ada Lovelace',
  email: 'ada@example.com',
  address: { street: '12 St James Square', postalCode: 'SW1Y 4JH', city: 'London', country: 'GB' },
};

/** How many of ten wishes are the one that is wanted often. */
const OFTEN = 6;
/** How often the clerk reads the inbox. */
const CLERK_EVERY_MS = 250;

interface InboxItem {
  readonly orderId: string;
  readonly choices: readonly { readonly decision: string }[];
}

export class Customers {
  /** The orders that were accepted. */
  readonly orderIds: string[] = [];
  /** The units that came in, by SKU. No one else asks for these SKUs. */
  readonly received: Record<string, number> = {};
  private readonly leaving = new AbortController();
  private readonly closing = new AbortController();
  /** The orders that the clerk has had tried once more: the inbox says so in prose, which is for people. */
  private readonly retried = new Set<string>();
  private shopping: Promise<unknown> = Promise.resolve();
  private deciding: Promise<unknown> = Promise.resolve();
  private wishes: Wish[] = [];
  private readonly skus: { readonly plenty: string; readonly scarce: string; readonly none: string };

  /** `shelf` is a name for the SKUs that they want, `often` what they want more often than anything else. */
  constructor(
    private readonly shop: Shop,
    private readonly random: Random,
    shelf: string,
    private readonly often?: Wish,
  ) {
    this.skus = { plenty: `honey-${shelf}`, scarce: `olive-oil-${shelf}`, none: `truffle-${shelf}` };
  }

  /** Fills the shelves and lets the customers in. */
  async enter(): Promise<void> {
    const { plenty, scarce, none } = this.skus;
    await this.shop.setPrices({ [plenty]: 895, [scarce]: 1299, [none]: 9900 });
    await Promise.all([this.receive(plenty, 10_000), this.receive(scarce, 20), this.receive(none, 1)]);
    this.shopping = Promise.all(Array.from({ length: CUSTOMERS }, () => this.goShopping()));
    this.deciding = this.decideForThem();
    // leave() and close() await them and throw the failure.
    this.shopping.catch(() => {});
    this.deciding.catch(() => {});
  }

  /** Resolves when `orders` orders have been accepted. */
  async placed(orders: number): Promise<void> {
    await this.shop.until(`${orders} orders are placed`, async () => {
      const found = this.orderIds.length;
      return { done: found >= orders, found };
    });
  }

  /** Lets the customers finish what they have begun. @throws when one of them could not */
  async leave(): Promise<void> {
    this.leaving.abort();
    await this.shopping;
  }

  /** Sends the clerk home: nothing is decided from here on. */
  async close(): Promise<void> {
    this.leaving.abort();
    this.closing.abort();
    await Promise.all([this.shopping, this.deciding]);
  }

  private async goShopping(): Promise<void> {
    const { signal } = this.leaving;
    while (!signal.aborted) {
      if (this.wishes.length === 0) this.wishes = shuffled(this.manyWishes(), this.random);
      await this.fulfil(this.wishes.pop()!);
      await sleep(PAUSE_MS * 2 * this.random.next(), undefined, { signal }).catch(() => {});
    }
  }

  /** One of everything, and more of what is common, and of what is wanted often. */
  private manyWishes(): Wish[] {
    const common: Wish[] = ['get something', 'get something', ...WISHES];
    const { often } = this;
    return often ? [...common, ...Array.from({ length: common.length * (OFTEN / (10 - OFTEN)) }, () => often)] : common;
  }

  private async fulfil(wish: Wish): Promise<void> {
    const { plenty, scarce, none } = this.skus;
    const units = 1 + Math.floor(this.random.next() * 3);
    const some = [{ sku: plenty, quantity: units }];
    const both = [...some, { sku: scarce, quantity: 1 }];
    const chance = this.random.next();
    switch (wish) {
      case 'get something':
        await this.place(chance < 0.5 ? some : both);
        return;
      case 'get more than there is': // Of one, so that nothing may be held of the other.
        await this.place([...some, { sku: none, quantity: 2 }]);
        return;
      case 'pay with a bad card':
        await this.place(both, 'tok_declined');
        return;
      case 'wait for a bad connection':
        await this.place(some, 'tok_capture_fails_twice');
        return;
      case 'wait too long': // Pending for longer than the deadline.
        await this.place(some, 'tok_charged_after_timeout');
        return;
      case 'cancel at once':
        await this.cancel(await this.place(both));
        return;
      case 'cancel while paying':
        await this.cancel(await this.place(both, 'tok_slow'), 300);
        return;
      case 'cancel at the pivot':
        await this.cancel(await this.place(some), 150 * chance);
        return;
      case 'be refused': // The clerk tries once more, and then calls it off.
        await this.place(some, chance < 0.5 ? 'tok_capture_refused' : 'tok_capture_refused_once');
        return;
      case 'have it called off late':
        await this.callOffLate(await this.place(some, oneOf(LATE, chance)));
        return;
      case 'meet a provider that errs': // The clerk tries once more, or accepts what it did.
        await this.place(some, oneOf(ERRING, chance));
        return;
      case 'be forgotten': {
        // At once, so that it has to wait for the order, or when that is settled.
        const customerId = randomUUID();
        const orderId = await this.place(some, 'tok_approved', { customerId, recipient: RECIPIENT });
        if (chance < 0.5) await this.shop.settled(orderId);
        await this.requestUntilAnswered('DELETE', `/customers/${customerId}/personal-data?reason=They+leave.`);
        return;
      }
      case 'bring something':
        await this.receive(scarce, units);
        return;
      case 'set a price':
        await this.setPrice(plenty, 800 + units);
        return;
      case 'end a sale': // Of what nobody orders: an order of what is not sold would be refused.
        await this.setPrice(`${plenty}-of-the-day`, 800 + units);
        await this.requestUntilAnswered('DELETE', `/prices/${plenty}-of-the-day`);
        return;
    }
  }

  private async place(
    lines: OrderRequest['lines'],
    token = 'tok_approved',
    more: Pick<OrderRequest, 'customerId' | 'recipient'> = {},
  ): Promise<string> {
    const orderId = await this.shop.place({ ...more, lines, token });
    this.orderIds.push(orderId);
    return orderId;
  }

  private async cancel(orderId: string, afterMs = 0): Promise<void> {
    await sleep(afterMs);
    await this.requestUntilAnswered('POST', `/orders/${orderId}/cancel`);
  }

  /** As soon as it is confirmed: the money may be captured before payment learns of it, and is then refunded. */
  private async callOffLate(orderId: string): Promise<void> {
    await this.shop.until(`order ${orderId} is past the pivot, or will never be`, async () => {
      const { order } = await call<{ order: OrderView }>(
        'GET',
        `${this.shop.order[0]}/orders/${orderId}/history`,
        undefined,
        this.shop.anybody,
      );
      return { done: !['placed', 'stock-reserved'].includes(order.status), found: order };
    });
    await sleep(30 * this.random.next());
    await this.decide(orderId, 'call-off');
  }

  /** The clerk: what the provider did by itself is accepted; what was refused is tried once more, and then called off where that can be. */
  private async decideForThem(): Promise<void> {
    const { signal } = this.closing;
    while (!signal.aborted) {
      await this.shop.until('the inbox is read', async () => {
        const url = `${this.shop.order[0]}/admin/attention?limit=100`;
        const { items } = await call<{ items: InboxItem[] }>('GET', url, undefined, this.shop.anybody);
        for (const { orderId, choices } of items) {
          const again = !this.retried.has(orderId);
          this.retried.add(orderId);
          const can = (decision: string) => choices.some((choice) => choice.decision === decision);
          const otherwise = can('call-off') ? 'call-off' : 'retry';
          await this.decide(orderId, can('accept') ? 'accept' : again ? 'retry' : otherwise);
        }
        return { done: true, found: items };
      });
      await sleep(CLERK_EVERY_MS, undefined, { signal }).catch(() => {});
    }
  }

  private async decide(orderId: string, decision: string): Promise<void> {
    const body = { decision, reason: 'The crash matrix wants it.' };
    await this.requestUntilAnswered('POST', `/admin/attention/${orderId}`, body);
  }

  /** Asks until there is an answer: that something comes too late (409) is one. */
  private async requestUntilAnswered(method: string, path: string, body?: object): Promise<void> {
    await this.shop.until(`${method} ${path} is answered`, async () => {
      const { status } = await fetch(`${this.shop.order[0]}${path}`, {
        method,
        headers: { ...this.shop.anybody, ...(body && { 'content-type': 'application/json' }) },
        ...(body && { body: JSON.stringify(body) }),
      });
      return { done: status < 300 || status === 409, found: status };
    });
  }

  private async receive(sku: string, quantity: number): Promise<void> {
    const key = { 'idempotency-key': randomUUID(), ...this.shop.anybody };
    this.received[sku] = (this.received[sku] ?? 0) + quantity;
    await this.shop.until(`${sku} is received`, async () => {
      const found = await call('POST', `${this.shop.inventory[0]}/stock/${sku}/receipts`, { quantity }, key);
      return { done: true, found };
    });
  }

  private async setPrice(sku: string, amountMinor: number): Promise<void> {
    await this.shop.until(`${sku} has a price`, async () => {
      await this.shop.setPrices({ [sku]: amountMinor });
      return { done: true, found: amountMinor };
    });
  }
}

/** `chance` is from 0 to below 1. */
function oneOf<T>(items: readonly T[], chance: number): T {
  return items[Math.floor(chance * items.length)]!;
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  return items
    .map((item) => ({ item, place: random.next() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
}
