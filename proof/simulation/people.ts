/**
 * The people of a simulated world: customers, who place and cancel orders and ask again until they are answered, the
 * owner, who sets prices and books stock, and operators, who decide what waits for a person.
 */
import { type Service, services } from '../../apps/shop.js';
import { isSettled, orderNotFound } from '../../apps/order/src/domain/order.js';
import { QuotaExceeded } from '../../apps/order/src/domain/quota.js';
import type { Recipient } from '../../apps/order/src/recipient.js';
import { DomainError } from '#decider';
import type { Cause } from '#event-store';
import type { Attention } from '#service';
import { diceFor } from './chance.js';
import { count, type Coverage } from './coverage.js';
import type { Item, Plan } from './plan.js';
import type { Composed, Process, Servers, ServiceOf, Surroundings } from './process.js';
import { orderIdOf, orderOf } from './story.js';
import type { Durable, Violation } from './violations.js';

const SECOND = 1_000;
/** How long a customer waits for an answer before sending the request again. */
const PATIENCE_MS = 10 * SECOND;
/** And how often, before giving up. */
const PERSISTENCE = 15;

/** The answer to a request: what came back, or the refusal. Undefined stands for no answer at all. */
type Answer<T> = { readonly ok: T } | { readonly refused: DomainError };

/** What people find in the world. */
export interface PeoplesWorld extends Pick<Surroundings, 'seed' | 'scheduler' | 'tell'> {
  readonly plan: Plan;
  readonly servers: Readonly<Record<Service, Servers>>;
  readonly found: Violation[];
  readonly coverage: Coverage;
  /** Whether nothing has gone wrong for so long that the services have done what was due. */
  readonly unhindered: boolean;
  /** An instance that takes requests. */
  running(service: Service): Process | undefined;
}

export class People {
  /** What services have promised them. */
  readonly promises = {
    accepted: new Set<string>(),
    cancelled: new Set<string>(),
    told: new Map<string, string>(),
    entries: new Map<string, { sku: string; quantity: number }>(),
    sold: new Map<string, bigint>(),
    customers: new Map<string, string>(),
    sentTo: new Map<string, Recipient>(),
  } satisfies Partial<Durable['promises']>;
  /** Customers who had too many open orders for one more. */
  readonly turnedAway = new Set<string>();
  /** Where the last price is of which an answer told; who orders from then on has seen it. */
  private pricedAt = 0n;
  /** What receipts and recounts were answered with, by their entry. */
  private readonly booked = new Map<string, string>();
  /** Requests and decisions that are not answered yet. */
  private open = 0;
  /** Resolves when the shop has prices and stock: nobody orders before. */
  private opened: Promise<void> = Promise.resolve();
  private readonly decided = new Map<string, number>();

  constructor(private readonly world: PeoplesWorld) {}

  /** Whether anybody waits for an answer. */
  get waiting(): boolean {
    return this.open > 0;
  }

  openTheShop(): void {
    this.request(() => (this.opened = this.openShop()));
  }

  request(work: () => Promise<void>): void {
    this.open++;
    work()
      .catch((error: unknown) => {
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
        this.world.found.push({ rule: 'error-in-code', text, orders: [] });
      })
      .finally(() => this.open--);
  }

  /**
   * Asks a service as a client does that wants an answer: again, of any instance, when there was none in time or the
   * service could not. Undefined when it has given up. A request without a name is not part of the story.
   */
  private async ask<S extends Service, T>(
    service: S,
    what: string | undefined,
    request: (service: ServiceOf[S]) => Promise<T>,
    orderId?: string,
  ): Promise<Answer<T> | undefined> {
    const about = () => (orderId === undefined ? [] : [orderId]);
    for (let attempt = 1; attempt <= PERSISTENCE; attempt++) {
      const process = this.world.running(service);
      if (process) {
        const answer = await this.requestOnce(process, (it) => request(it as ServiceOf[S]));
        if (answer) {
          const said = 'refused' in answer ? answer.refused.code : 'accepted';
          if (what !== undefined) this.world.tell(process.name, () => `${what}: ${said}`, about);
          return answer;
        }
        if (what !== undefined) this.world.tell(process.name, () => `${what}: no answer`, about);
      }
      await this.world.scheduler.sleep(attempt * 200);
    }
    return undefined;
  }

  requestOnce<T>(process: Process, request: (service: Composed) => Promise<T>): Promise<Answer<T> | undefined> {
    return new Promise((resolve) => {
      const patience = this.world.scheduler.idleUntil(PATIENCE_MS, () => resolve(undefined));
      const answer = (answer: Answer<T> | undefined) => {
        patience.cancel();
        resolve(answer);
      };
      request(process.service).then(
        (ok) => process.alive && answer({ ok }),
        (error: unknown) => {
          if (process.alive) answer(error instanceof DomainError ? { refused: error } : undefined);
        },
      );
    });
  }

  private async openShop(): Promise<void> {
    await Promise.all([
      ...Object.entries(this.world.plan.prices).map(([sku, amountMinor]) =>
        this.setPrice(sku, amountMinor, `price-${sku}`),
      ),
      ...Object.entries(this.world.plan.stock).map(([sku, quantity]) =>
        this.enter(`opening-${sku}`, 'receipt', sku, quantity),
      ),
    ]);
  }

  /** The owner sees to it that there is one of a SKU, at a price. */
  async offer(n: number, sku: string): Promise<void> {
    await Promise.all([this.setPrice(sku, 1_000, `price-${n}`), this.enter(`receipt-${n}`, 'receipt', sku, 1)]);
  }

  private async setPrice(sku: string, amountMinor: number, causationId: string): Promise<void> {
    const amount = { amountMinor, currency: 'EUR' };
    const answer = await this.ask('order', `the price of ${sku} is ${amountMinor}`, (it) =>
      it.setPrice(sku, amount, causeOf(causationId)),
    );
    if (answer && 'ok' in answer && answer.ok.position > this.pricedAt) this.pricedAt = answer.ok.position;
  }

  private async enter(entryId: string, kind: 'receipt' | 'recount', sku: string, quantity: number): Promise<void> {
    const request = { entryId, kind, sku, quantity };
    const answer = await this.ask('inventory', `${kind} of ${quantity} ${sku}`, (it) =>
      it.bookStock(request, causeOf(entryId)),
    );
    if (!answer || 'refused' in answer) return;
    this.promises.entries.set(entryId, { sku, quantity });
    const said = JSON.stringify(answer.ok.result);
    const first = this.booked.get(entryId) ?? said;
    this.booked.set(entryId, first);
    if (said === first) return;
    const text = `The entry ${entryId} was answered with ${first}, and then with ${said}.`;
    this.world.found.push({ rule: 'entry-answered-twice', text, orders: [] });
  }

  async placeOrder(
    { n, lines, token, waits }: Extract<Item, { kind: 'order' }>,
    customerId = this.customerOf(n),
  ): Promise<void> {
    const orderId = orderIdOf(n);
    await this.opened;
    const since = this.pricedAt;
    const recipient = recipientOf(this.world.seed, orderId);
    const request = { orderId, customerId, lines, paymentToken: token, recipient, since };
    this.promises.customers.set(orderId, customerId);
    // Sent again, it may find the order that it placed before.
    if (!this.promises.sold.has(orderId)) this.promises.sold.set(orderId, since);
    const answer = await this.ask(
      'order',
      `order ${n} is placed`,
      (it) => it.place(request, { ...causeOf(`order-${n}`), actor: customerId }),
      orderId,
    );
    if (answer && 'refused' in answer && answer.refused instanceof QuotaExceeded) {
      count(this.world.coverage.faults, 'quota: an order is refused');
      this.turnedAway.add(customerId);
    }
    if (!answer || 'refused' in answer) return;
    this.promises.accepted.add(orderId);
    if (recipient) {
      this.promises.sentTo.set(orderId, recipient);
      await this.readOwn(orderId);
    }
    if (!waits) return;
    const waited = await this.ask(
      'order',
      `order ${n} is waited for`,
      (it) => it.awaitSettled(orderId, customerId, 5 * SECOND, new AbortController().signal),
      orderId,
    );
    if (waited && 'ok' in waited && isSettled(waited.ok.order)) this.promises.told.set(orderId, waited.ok.order.status);
  }

  /** The customer who places the order of this number. */
  private customerOf(n: number): string {
    return `customer ${n % this.world.plan.customers}`;
  }

  async act(
    item: Extract<Item, { kind: 'cancel' | 'erasure' | 'receipt' | 'recount' | 'price' | 'operator' }>,
  ): Promise<void> {
    switch (item.kind) {
      case 'cancel': {
        const orderId = orderIdOf(item.order);
        const customer = this.customerOf(item.order);
        const cause = { ...causeOf(`cancel-${item.n}`), actor: customer };
        if (diceFor(this.world.seed, 'stranger', orderId).chance(0.3)) await this.intrude(orderId);
        const answer = await this.ask(
          'order',
          `cancel order ${item.order}`,
          (it) => it.cancel(orderId, customer, cause),
          orderId,
        );
        if (answer && 'ok' in answer) this.promises.cancelled.add(orderId);
        return;
      }
      case 'erasure':
        return this.leave(this.customerOf(item.order));
      case 'receipt': {
        const entry = () => this.enter(`receipt-${item.n}`, 'receipt', item.sku, item.quantity);
        await Promise.all(item.twice ? [entry(), entry()] : [entry()]);
        if (item.twice) await entry(); // When the stock has moved on.
        return;
      }
      case 'recount':
        return this.enter(`recount-${item.n}`, 'recount', item.sku, item.counted);
      case 'price':
        return this.setPrice(item.sku, item.amountMinor, `price-${item.n}`);
      case 'operator':
        return this.resolve('order', orderIdOf(item.order), item.decision);
    }
  }

  /** A customer has their data erased, and when they are told that it is, no instance shows a recipient of before. */
  private async leave(customer: string): Promise<void> {
    await this.opened;
    const before = [...this.promises.sentTo.keys()].filter(
      (orderId) => this.promises.customers.get(orderId) === customer,
    );
    const cause = { ...causeOf(`erasure-${customer}`), actor: customer };
    const answer = await this.ask('order', `${customer} wants their data erased`, (it) =>
      it.personalData.requestErasure(customer, cause),
    );
    if (!answer || 'refused' in answer) return;
    const { status, position } = answer.ok;
    count(this.world.coverage.faults, `erasure: ${status === 'requested' ? 'later' : 'at once'}`);
    if (status === 'requested') return;
    for (const orderId of before) {
      const shown = await this.read(orderId, position);
      if (!shown) continue;
      const text = `${customer} was told that their data is erased, and ${orderId} shows to whom it is sent.`;
      this.world.found.push({ rule: 'erased-and-shown', text, orders: [orderId] });
    }
  }

  /** A customer looks at an order of their own: what is shown is what they said, unless they have left. */
  private async readOwn(orderId: string): Promise<void> {
    const shown = await this.read(orderId, 0n);
    if (!shown || shown.name === this.promises.sentTo.get(orderId)?.name) return;
    const text = `${orderId} is sent to ${shown.name}, which is not what its customer said.`;
    this.world.found.push({ rule: 'another-recipient', text, orders: [orderId] });
  }

  /** The recipient of an order in the clear; null when it is erased; undefined without an answer. */
  private async read(orderId: string, since: bigint): Promise<Recipient | null | undefined> {
    const customerId = this.promises.customers.get(orderId)!;
    const answer = await this.ask(
      'order',
      undefined,
      async (it) => {
        const [placed] = await it.history(orderId, customerId);
        const sealed = placed?.type === 'OrderPlaced' ? placed.data.recipient : undefined;
        return sealed === undefined ? null : it.personalData.open(sealed, { orderId, customerId }, since);
      },
      orderId,
    );
    return answer && 'ok' in answer ? answer.ok : undefined;
  }

  /** Somebody who knows the id of another's order wants to cancel it, to see how it ends, and to read what happened to it. */
  private async intrude(orderId: string): Promise<void> {
    const owner = 'a stranger';
    const { signal } = new AbortController();
    const attempts: [string, (order: ServiceOf['order']) => Promise<unknown>][] = [
      ['cancels', (it) => it.cancel(orderId, owner, { ...causeOf('stranger'), actor: owner })],
      ['waits for', (it) => it.awaitSettled(orderId, owner, SECOND, signal)],
      [
        'reads the history of',
        async (it) => {
          if ((await it.history(orderId, owner)).length === 0) throw orderNotFound();
        },
      ],
    ];
    for (const [what, request] of attempts) {
      const answer = await this.ask('order', `a stranger ${what} ${orderId}`, request, orderId);
      if (answer) count(this.world.coverage.faults, `stranger: ${what} an order`);
      if (!answer || ('refused' in answer && answer.refused.code === 'order-not-found')) continue;
      const text = `A stranger ${what} ${orderId}, and was not told that there is no such order.`;
      this.world.found.push({ rule: 'stranger-let-in', text, orders: [orderId] });
    }
  }

  // Operators.

  private async resolve(service: Service, orderId: string, decision: 'retry' | 'call-off' | 'accept'): Promise<void> {
    const what = `an operator decides about ${orderId}: ${decision}`;
    const decided = { decision, reason: 'It waits.' };
    const cause = { ...causeOf(`decision-${orderId}`), actor: 'operator' };
    const answer = await this.ask(service, what, (it: Attention) => it.resolve(orderId, decided, cause), orderId);
    if (!answer || 'refused' in answer) return;
    count(this.world.coverage.faults, `operator: ${decision} in ${service}`);
    if (service === 'order' && decision === 'call-off') this.promises.cancelled.add(orderId);
  }

  /** Decides everything that waits for a person: retries first, and gives up when that did not help; with `skips`, at once. */
  async decideAll(skips = false): Promise<void> {
    for (const service of services) {
      const { parked } = this.world.servers[service];
      for (const { id, message } of await parked.listDead(0n, 100)) {
        const action = !skips && this.countAttempt(`${service} ${message.id}`) < 2 ? 'retry' : 'skip';
        const at = new Date(Math.floor(this.world.scheduler.nowMs));
        this.world.tell(
          'operator',
          () => `dead letter ${message.type} (${message.key}) of ${service}: ${action}`,
          () => [message.key],
        );
        count(this.world.coverage.faults, `dead letter: ${action}`);
        await parked.resolve(id, { id: String(id), action, actor: 'operator', reason: 'It waits.', at });
      }
      const inbox = await this.ask(service, undefined, (it: Attention) => it.inbox({ limit: 100 }));
      for (const { orderId, choices, tried } of inbox && 'ok' in inbox ? inbox.ok.items : []) {
        if (
          service === 'order' &&
          this.world.unhindered &&
          tried.length === 0 &&
          !choices.some((it) => it.decision === 'accept')
        ) {
          const text = `A person is asked about ${orderId}, and nobody was reminded of it.`;
          this.world.found.push({ rule: 'not-reminded', text, orders: [orderId] });
        }
        const patience = diceFor(this.world.seed, 'operator', service, orderId).between(0, 1);
        const wanted = this.countAttempt(`${service} ${orderId}`) < patience ? 'retry' : 'call-off';
        const [first] = choices;
        const choice = choices.find(({ decision }) => decision === wanted) ?? first;
        if (choice) await this.resolve(service, orderId, choice.decision);
      }
    }
  }

  /** How often something was decided before; counts this time too. */
  private countAttempt(name: string): number {
    const times = this.decided.get(name) ?? 0;
    this.decided.set(name, times + 1);
    return times;
  }
}

/** What no event, message or row may show: it stands in every recipient. */
export const NAME = 'Quastenberg';

/** Whom an order is sent to, if its customer says so. */
function recipientOf(seed: number, orderId: string): Recipient | undefined {
  if (!diceFor(seed, 'recipient', orderId).chance(0.6)) return undefined;
  const name = `${orderOf(orderId)} ${NAME}`;
  return {
    name,
    email: `${orderOf(orderId)}@example.com`,
    address: { street: NAME, postalCode: '1', city: NAME, country: 'DE' },
  };
}

export function causeOf(id: string): Cause {
  return { correlationId: id, causationId: id };
}
