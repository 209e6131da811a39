/**
 * What must be true of a world at its end. What the books must say of stock, money and rows is stated by reconcile
 * (scripts/lib/reconcile); added here is what no book shows: promises, deadlines, reminders, messages and parked lines.
 */
import { perService, type Service, services, shop } from '../../apps/shop.js';
import { stateAfter } from '#decider';
import { categoryOf, idOf, type RecordedEvent } from '#event-store';
import { type DeadLetters, type MemoryLog, type ParkedMessages, toMessages } from '#message-bus';
import type { AnyProjection, MemoryTables } from '#projections';
import { opener } from '#service';
import type { CustomerKey, CustomerKeys } from '../../apps/order/src/customer-keys/port.js';
import { order, type OrderEvent } from '../../apps/order/src/domain/order.js';
import type { CustomerEvent } from '../../apps/order/src/domain/customer.js';
import type { PriceEvent } from '../../apps/order/src/domain/price.js';
import { kidOf, openRecipient, type Recipient, type RecipientOf } from '../../apps/order/src/recipient.js';
import { payment, type PaymentEvent } from '../../apps/payment/src/domain/payment.js';
import type { LedgerEntry } from '../../apps/payment/src/simulator/ledger.js';
import { keyOf, keysInMemory } from '../../scripts/lib/reconcile/books.js';
import type { Finding } from '../../scripts/lib/reconcile/finding.js';
import { emptyBooks, judge, type OrderBooks, orderCategories } from '../../scripts/lib/reconcile/order.js';
import {
  orderReadModels,
  type ReadModel,
  type Rows,
  skuReadModels,
  SkuRows,
} from '../../scripts/lib/reconcile/read-models.js';
import { developmentKeys } from '../token-keys.js';
import { NAME } from './people.js';
import type { Rule } from './rules.js';
import { ALL, judgeAll } from '../../scripts/lib/reconcile/reconcile.js';
import { StockAudit } from '../../scripts/lib/reconcile/stock.js';

const openToken = opener(developmentKeys.openingKeys);

/** A rule that does not hold: its name, what is wrong in a sentence, and the orders that it is about. */
export interface Violation {
  readonly rule: Rule;
  readonly text: string;
  readonly orders: readonly string[];
}

/** What the outside was told, and may rely on. */
export interface Promises {
  /** Orders that were accepted. */
  readonly accepted: ReadonlySet<string>;
  /** Orders whose cancellation was accepted. */
  readonly cancelled: ReadonlySet<string>;
  /** Ends that customers were told. */
  readonly told: ReadonlyMap<string, string>;
  /** Until when things went wrong, in milliseconds since 1970, and how much later than promised a deadline was kept then. */
  readonly calmMs: number;
  readonly lateMs: number;
  /** By how much the clock of order was set back, and what it showed then. */
  readonly setBacks: readonly { readonly byMs: number; readonly toMs: number }[];
  /** Whether nothing went wrong for so long that an order would have had to be reminded of. */
  readonly mild: boolean;
  /** Whether the clocks of all services showed the same, so that times of one can be compared with those of another. */
  readonly oneTime: boolean;
  /** The ids of the messages that each service was given in a batch that it was done with. */
  readonly handled: Readonly<Record<Service, ReadonlySet<string>>>;
  /** How many orders that are not settled a customer may have. */
  readonly openOrders: number;
  /** By order, its customer. */
  readonly customers: ReadonlyMap<string, string>;
  /** By order, the position that its prices must not be older than. */
  readonly sold: ReadonlyMap<string, bigint>;
  /** Whom the orders that were accepted are sent to, where their customers said so. */
  readonly sentTo: ReadonlyMap<string, Recipient>;
  /** Receipts and recounts that were accepted, by the id of their entry. */
  readonly entries: ReadonlyMap<string, { readonly sku: string; readonly quantity: number }>;
}

export interface Durable {
  readonly events: Readonly<Record<Service, readonly RecordedEvent[]>>;
  readonly tables: Readonly<Record<Service, MemoryTables>>;
  readonly parked: Readonly<Record<Service, ParkedMessages & DeadLetters>>;
  readonly customerKeys: CustomerKeys;
  readonly log: MemoryLog;
  readonly ledger: readonly LedgerEntry[];
  readonly promises: Promises;
}

export async function findViolations(durable: Durable): Promise<Violation[]> {
  const orders = streamsOf<OrderEvent>(durable.events.order, 'order');
  const books = collectBooks(durable);
  return [
    ...brokenPromises(durable, orders),
    ...oldPrices(durable, orders),
    ...openOrders(durable),
    ...wrongEndings(orders),
    ...wrongDeadlines(durable, orders),
    ...neededReminders(durable, orders),
    ...shownTokens(durable),
    ...shownPersons(durable),
    ...(await wrongKeys(durable, orders)),
    ...wrongRefusals(durable, orders),
    ...(await findDisagreements(durable, books)),
    ...(durable.promises.oneTime ? settledTooEarly(books) : []),
    ...services.flatMap((service) => [...wrongMessages(durable, service), ...passedOver(durable, service)]),
    ...(await wrongLines(durable)),
  ];
}

/** What was promised to the outside: accepted orders and entries exist, what was cancelled is not sold. */
function* brokenPromises({ promises, events }: Durable, orders: Streams<OrderEvent>): Iterable<Violation> {
  for (const id of promises.accepted) {
    if (!orders.has(id)) yield about('accepted-order-lost', `The ${id} was accepted, and does not exist.`, id);
  }
  for (const id of promises.cancelled) {
    const { status } = stateAfter(order, orders.get(id) ?? []);
    if (status !== 'cancelled' && status !== 'rejected') {
      yield about('cancellation-lost', `The cancellation of ${id} was accepted, and it is ${status}.`, id);
    }
  }
  for (const [id, told] of promises.told) {
    const { status } = stateAfter(order, orders.get(id) ?? []);
    if (status !== told)
      yield about('ending-changed', `The customer of ${id} was told ${told}, and it is ${status}.`, id);
  }
  const entries = streamsOf(events.inventory, 'entry');
  for (const [id, { sku, quantity }] of promises.entries) {
    if (entries.get(id)?.length !== 1) {
      yield about('entry-lost', `The entry ${id} of ${quantity} ${sku} was accepted, and is not there once.`);
    }
  }
}

/** An order is sold at prices that held at the position that its customer had seen, or later. */
function* oldPrices({ promises, events }: Durable, orders: Streams<OrderEvent>): Iterable<Violation> {
  const prices = streamsOf<RecordedEvent<PriceEvent>>(events.order, 'price');
  for (const [id, [placed]] of orders as Streams<RecordedEvent<OrderEvent>>) {
    const since = promises.sold.get(id);
    if (placed?.type !== 'OrderPlaced' || since === undefined) continue;
    for (const { sku, unitPrice } of placed.data.lines) {
      const changes = prices.get(sku) ?? [];
      const held = changes.filter(
        ({ position }, n) => (changes[n + 1]?.position ?? Infinity) > since && position < placed.position,
      );
      if (held.some((it) => it.type === 'PriceSet' && it.data.amountMinor === unitPrice.amountMinor)) continue;
      const text = `The ${id} was sold ${sku} at ${unitPrice.amountMinor}, which is older than position ${since}.`;
      yield about('old-price', text, id);
    }
  }
}

/** No customer ever has more orders that are not settled than they may. */
function* openOrders({ promises, events }: Durable): Iterable<Violation> {
  const customers = new Map<string, string>();
  const open = new Map<string, number>();
  const count = (customerId: string, by: number) => {
    const now = (open.get(customerId) ?? 0) + by;
    open.set(customerId, now);
    return now;
  };
  for (const { type, stream, data } of events.order as readonly RecordedEvent<OrderEvent>[]) {
    const id = idOf(stream);
    if (type === 'OrderPlaced') {
      customers.set(id, data.customerId);
      if (count(data.customerId, 1) <= promises.openOrders) continue;
      yield about(
        'too-many-open',
        `With ${id}, ${data.customerId} has more than ${promises.openOrders} open orders.`,
        id,
      );
    } else if (type === 'OrderCompleted' || type === 'OrderSettled') {
      const customerId = customers.get(id);
      if (customerId !== undefined) count(customerId, -1);
      customers.delete(id); // Money that comes later does not take the place again.
    }
  }
}

const ENDS = ['OrderCompleted', 'OrderRejected', 'OrderCancelled'];

/** Every order has one end and is settled once; once more after money arrived that could not be refunded at first. */
function* wrongEndings(orders: Streams<OrderEvent>): Iterable<Violation> {
  for (const [id, events] of orders) {
    const ends = events.filter(({ type }) => ENDS.includes(type)).map(({ type }) => type);
    const state = stateAfter(order, events);
    if (ends.length > 1) yield about('order-ends-twice', `The ${id} has two ends: ${ends.join(' and ')}.`, id);
    const settled = events.filter(({ type }) => type === 'OrderSettled').length;
    const first = events.findIndex(({ type }) => type === 'OrderSettled');
    const reopened = first >= 0 && events.slice(first).some(({ type }) => type === 'OrderPaymentRefused');
    if (settled > (reopened ? 2 : 1) || (settled === 1 && state.status === 'completed')) {
      yield about(
        'order-settled-twice',
        `The ${id} says ${settled} times that it is settled, and is ${state.status}.`,
        id,
      );
    }
  }
}

/** How long it takes at most from a look at the clock to the event that is written for it. */
const MOST_HANGING_MS = 60_000;

/**
 * An order is not called off before its deadline, and not confirmed long after it. An event may show an earlier time than
 * the deadline when the clock was set back between the look at it and the writing.
 */
function* wrongDeadlines({ promises }: Durable, orders: Streams<OrderEvent>): Iterable<Violation> {
  for (const [id, events] of orders as Streams<RecordedEvent<OrderEvent>>) {
    const [placed] = events;
    if (placed?.type !== 'OrderPlaced') continue;
    const deadlineMs = Date.parse(placed.data.deadlineAt);
    for (const event of events) {
      const atMs = Date.parse(event.recordedAt);
      const justSetBack = promises.setBacks.filter(({ toMs }) => toMs <= atMs && atMs <= toMs + MOST_HANGING_MS);
      const setBackMs = justSetBack.reduce((sum, { byMs }) => sum + byMs, 0);
      if (event.type === 'OrderCancelled' && event.data.reason === 'deadline' && atMs + setBackMs < deadlineMs) {
        yield about('deadline-early', `The ${id} was called off ${deadlineMs - atMs} ms before its deadline.`, id);
      }
      if (event.type === 'OrderConfirmed' && atMs < promises.calmMs && atMs > deadlineMs + promises.lateMs) {
        yield about(
          'deadline-missed',
          `The ${id} was confirmed ${(atMs - deadlineMs) / 1_000} s after its deadline.`,
          id,
        );
      }
    }
  }
}

/** Reminders heal what was lost. Nothing is lost: where nothing went wrong for long, none is sent. */
function* neededReminders({ promises, events }: Durable, orders: Streams<OrderEvent>): Iterable<Violation> {
  if (!promises.mild) return;
  const held = [
    streamsOf<RecordedEvent>(events.payment, 'payment'),
    streamsOf<RecordedEvent>(events.inventory, 'reservation'),
  ];
  for (const [id, events] of orders as Streams<RecordedEvent<OrderEvent>>) {
    const [placed, ...rest] = events;
    if (placed?.type !== 'OrderPlaced' || openToken(placed.data.paymentToken, id) === 'tok_down_30s') continue;
    // What the provider refuses waits for a person, and what a person asks for is no reminder that was needed.
    const reminded = rest.find(({ type, metadata }) => type === 'OrderReminded' && metadata.actor === undefined);
    const refused = rest.some(({ type }) => type === 'OrderPaymentRefused');
    // Nor does an order get on by itself whose money or stock a person gave back before it was confirmed.
    const givenUp = held.some((streams) => streams.get(id)?.some(({ metadata }) => metadata.actor !== undefined));
    if (reminded && !refused && !givenUp) yield about('reminder-needed', `The ${id} got on only after a reminder.`, id);
  }
}

/** What a customer pays with is stored and sent sealed, and nobody but payment can open it. */
function* shownTokens({ events, log }: Durable): Iterable<Violation> {
  // As the beginning of a text: within one that is sealed, these letters may come by chance.
  const isShown = (data: unknown) => JSON.stringify(data).includes('"tok_');
  for (const service of services) {
    for (const { type, data, stream } of events[service]) {
      if (isShown(data)) yield about('token-shown', `${type} of ${stream} shows the payment token.`, idOf(stream));
    }
    for (const { type, data, key } of log.topic(shop[service].publishes.name).flat()) {
      if (isShown(data)) yield about('token-shown', `A message ${type} of ${key} shows the payment token.`, key);
    }
  }
}

/** Who an order is sent to is stored and sent in no clear form. */
function* shownPersons({ events, log, tables }: Durable): Iterable<Violation> {
  const isShown = (data: unknown) => JSON.stringify(data).includes(NAME);
  for (const service of services) {
    for (const { type, data, stream } of events[service]) {
      if (isShown(data)) yield about('person-shown', `${type} of ${stream} shows a recipient.`, idOf(stream));
    }
    for (const { type, data, key } of log.topic(shop[service].publishes.name).flat()) {
      if (isShown(data)) yield about('person-shown', `A message ${type} of ${key} shows a recipient.`, key);
    }
    for (const projection of shop[service].projections) {
      if (isShown(tables[service].rows(projection)))
        yield about('person-shown', `A row of ${projection.name} shows a recipient.`);
    }
  }
}

/**
 * A recipient opens for its owner until it is erased, and for nobody from then on. It is erased for somebody who asked for it,
 * after all orders under its key were settled, and no order has a key that was closed before.
 */
async function wrongKeys(
  { events, promises, customerKeys }: Durable,
  orders: Streams<OrderEvent>,
): Promise<Violation[]> {
  const found: Violation[] = [];
  const customers = streamsOf<RecordedEvent<CustomerEvent>>(events.order, 'customer');
  const erased = new Map<string, bigint>();
  const closed = new Set<string>();
  const noted = new Map<string, string>();
  for (const { type, data, position } of [...customers.values()].flat()) {
    if (type === 'CustomerErasureRequested') for (const kid of data.kids) closed.add(kid);
    if (type === 'CustomerErased') for (const kid of data.kids) erased.set(kid, position);
    if (type !== 'CustomerRecipientKept') continue;
    noted.set(data.orderId, data.kid);
    if (closed.has(data.kid))
      found.push(about('closed-key-used', `The ${data.orderId} has a key that was closed before.`, data.orderId));
  }
  for (const [orderId, history] of orders as Streams<RecordedEvent<OrderEvent>>) {
    const [placed] = history;
    if (placed?.type !== 'OrderPlaced') continue;
    const { recipient, customerId } = placed.data;
    const said = promises.sentTo.get(orderId);
    if (!recipient) {
      if (said) found.push(about('recipient-lost', `The ${orderId} does not say to whom it is sent.`, orderId));
      continue;
    }
    if (recipient.includes(NAME)) continue; // That is another rule.
    const kid = kidOf(recipient);
    if (noted.get(orderId) !== kid)
      found.push(about('key-not-noted', `Nothing says that the ${orderId} has its key.`, orderId));
    const erasedAt = erased.get(kid);
    const key = await customerKeys.find(kid);
    if (erasedAt !== undefined) {
      if (key) found.push(about('erased-key-stays', `The ${orderId} is erased, and its key is there.`, orderId));
      if (!closed.has(kid))
        found.push(about('erased-unasked', `Nobody has asked for the end of the key of ${orderId}.`, orderId));
      const isSettled = ({ type, position }: RecordedEvent<OrderEvent>) =>
        (type === 'OrderSettled' || type === 'OrderCompleted') && position < erasedAt;
      if (!history.some(isSettled))
        found.push(about('erased-too-early', `The ${orderId} was open when its recipient was erased.`, orderId));
      continue;
    }
    if (
      customerId !== promises.customers.get(orderId) ||
      (said && (!key || nameIn(recipient, key, { customerId, orderId }) !== said.name))
    )
      found.push(about('recipient-lost', `Nobody can read any more to whom the ${orderId} is sent.`, orderId));
  }
  return found;
}

/** The name in a recipient; undefined when the key does not open it. */
function nameIn(recipient: string, key: CustomerKey, of: RecipientOf): string | undefined {
  try {
    return openRecipient(recipient, key, of).name;
  } catch {
    return undefined;
  }
}

/** A refusal of the provider counts once, and what was refused is tried again only as often as a person decided so. */
function* wrongRefusals({ events }: Durable, orders: Streams<OrderEvent>): Iterable<Violation> {
  const payments = streamsOf<PaymentEvent>(events.payment, 'payment');
  for (const [id, history] of orders) {
    let known = 0;
    let retries = 0;
    for (const { type, data } of history) {
      if (type === 'OrderReminded' && data.retry) retries++;
      if (type !== 'OrderPaymentRefused') continue;
      const { number = 1 } = data;
      if (number <= known) yield about('refusal-counted-twice', `The ${id} counts refusal ${number} once more.`, id);
      known = number;
    }
    let attempts = 0;
    let state = payment.initialState;
    for (const event of payments.get(id) ?? []) {
      if (state.status === 'capture-refused' && event.type === 'PaymentCaptureRequested') attempts++;
      if (state.status === 'refund-refused' && event.type === 'PaymentReturnRequested') attempts++;
      state = payment.evolve(state, event);
    }
    if (attempts > retries) {
      const text = `What the ${id} was refused was tried again ${attempts} times, and a person wanted it ${retries} times.`;
      yield about('attempt-unasked', text, id);
    }
  }
}

/** What reconcile finds in the books, of a shop in which everything has come to its end. */
async function findDisagreements(durable: Durable, books: ReadonlyMap<string, OrderBooks>): Promise<Violation[]> {
  const { events, tables } = durable;
  const rows = await Promise.all(orderReadModels.map((model) => loadRows(model, tables[model.service])));
  const unmet = rows.flatMap(({ byKey }) => [...byKey.keys()]).filter((orderId) => !books.has(orderId));
  const stock = new StockAudit();
  const findings = [
    ...stock.see(events.inventory as Parameters<StockAudit['see']>[0]),
    ...stock.end(),
    ...[...books.values(), ...unmet.map(emptyBooks)].flatMap((each) => judgeAll(each, rows, true)),
  ];
  for (const model of skuReadModels) findings.push(...(await compareSkuRows(model, durable)));
  return findings.map((finding) => toViolation(finding.kind, finding));
}

/** All rows of a read model, which has to show every event. */
async function loadRows(model: ReadModel, tables: MemoryTables): Promise<Rows> {
  const { projection } = model;
  return { model, since: ALL, byKey: new Map(tables.rows(projection).map((row) => [keyOf(projection, row), row])) };
}

async function compareSkuRows(model: ReadModel, { events, tables }: Durable): Promise<Finding[]> {
  const rows = new SkuRows(model);
  for (const event of events[model.service]) rows.see(event);
  const findings: Finding[] = [];
  const keys = (projection: AnyProjection) => keysInMemory(tables[model.service], projection);
  const nothingFollows = async function* () {};
  for await (const finding of rows.compare({ tables: tables[model.service], keys }, nothingFollows)) {
    findings.push(finding);
  }
  return findings;
}

/**
 * An order that is off holds neither units nor money from the moment on at which it is settled: by then its books agree. But
 * a second hold, which nobody asked the provider for, is news at any time, and goes back without the order.
 */
function* settledTooEarly(books: ReadonlyMap<string, OrderBooks>): Iterable<Violation> {
  for (const { orderId, order, reservation, payment, ledger } of books.values()) {
    const settled = order.findIndex(({ type }) => type === 'OrderSettled');
    if (settled < 0) continue;
    const { recordedAt } = order[settled]!;
    const soFar = <E extends RecordedEvent>(events: readonly E[]) => events.filter((it) => it.recordedAt <= recordedAt);
    const then: OrderBooks = {
      orderId,
      order: order.slice(0, settled + 1),
      reservation: soFar(reservation),
      payment: soFar(payment),
      ledger: ledger.filter(({ at }) => at <= recordedAt),
    };
    const heldTwice = then.ledger.filter(({ type }) => type === 'authorized').length > 1;
    for (const finding of judge(then, !heldTwice)) {
      if (!heldTwice || finding.kind !== 'money-held') yield toViolation('settled-too-early', finding);
    }
  }
}

/** Every event and entry, by the order that it is about. */
function collectBooks({ events, ledger }: Durable): Map<string, OrderBooks> {
  const books = new Map<string, OrderBooks>();
  const of = (orderId: string) => {
    const known = books.get(orderId) ?? emptyBooks(orderId);
    books.set(orderId, known);
    return known;
  };
  for (const event of services.flatMap((service) => events[service])) {
    const category = orderCategories.find((each) => each === categoryOf(event.stream));
    if (category) (of(idOf(event.stream))[category] as RecordedEvent[]).push(event);
  }
  for (const entry of ledger) of(entry.orderId).ledger.push(entry);
  return books;
}

/** A reader of the story knows orders by their numbers, not by their streams. */
function toViolation(rule: Rule, { message, orderId }: Finding): Violation {
  return about(rule, message.replaceAll(/\b(order|reservation|payment)-(?=0{8}-)/g, 'the $1 of '), orderId);
}

const messageOf = perService((service) => toMessages(shop[service].publishes, shop[service].messageOf));

/** No message was passed over: each that a service has read was in a batch that it was done with. */
function* passedOver({ log, promises }: Durable, service: Service): Iterable<Violation> {
  for (const { name } of shop[service].subscribes) {
    for (const { id, key, type } of log.topic(name).flat()) {
      if (!promises.handled[service].has(id))
        yield about('message-passed-over', `${service} never handled ${type} of ${key}.`, key);
    }
  }
}

/** Every event that others may hear of is on the bus, and those of a key for the first time in their order. */
function* wrongMessages({ events, log }: Durable, service: Service): Iterable<Violation> {
  const { publishes: topic, relays } = shop[service];
  const firsts = new Map<string, Set<string>>();
  for (const { key, id } of log.topic(topic.name).flat()) {
    const ids = firsts.get(key);
    if (ids) ids.add(id);
    else firsts.set(key, new Set([id]));
  }
  const expected = new Map<string, string[]>();
  for (const event of events[service]) {
    if (!relays.includes(categoryOf(event.stream))) continue;
    const message = messageOf[service](event);
    if (!message) continue;
    const ids = expected.get(message.key);
    if (ids) ids.push(message.id);
    else expected.set(message.key, [message.id]);
  }
  for (const key of new Set([...expected.keys(), ...firsts.keys()])) {
    const [said, should] = [[...(firsts.get(key) ?? [])], expected.get(key) ?? []];
    const missing = should.filter((id) => !said.includes(id)).length;
    if (missing > 0) yield about('message-missing', `${missing} events of ${key} never came to ${topic.name}.`, key);
    else if (said.join() !== should.join()) {
      yield about(
        'messages-out-of-order',
        `The messages of ${key} are not on ${topic.name} in the order of its events.`,
        key,
      );
    }
  }
}

/** Nothing is parked any more; and what is, would have been a dead letter that somebody sees, or about to be tried again. */
async function* wrongLinesOf({ events, log, parked }: Durable, service: Service): AsyncIterable<Violation> {
  const keys = new Set(events.order.map(({ stream }) => idOf(stream)));
  for (const { name } of shop[service].subscribes) for (const { key } of log.topic(name).flat()) keys.add(key);
  const waiting = (await parked[service].parkedKeys(service, [...keys])) ?? [];
  const dead = await parked[service].listDead(0n, 10_000);
  const due = await parked[service].due(service, new Date(8.64e15), 10_000);
  const listed = new Set([...dead, ...due].map(({ message }) => message.key));
  for (const key of waiting) {
    if (!listed.has(key))
      yield about('parked-and-unseen', `${service} keeps messages of ${key} that nobody will try again.`, key);
    yield about('parked-for-ever', `${service} still keeps messages of ${key} in a parked line.`, key);
  }
}

async function wrongLines(durable: Durable): Promise<Violation[]> {
  const found: Violation[] = [];
  for (const service of services) for await (const violation of wrongLinesOf(durable, service)) found.push(violation);
  return found;
}

function about(rule: Rule, text: string, orderId?: string): Violation {
  return { rule, text, orders: orderId === undefined ? [] : [orderId] };
}

type Streams<E> = ReadonlyMap<string, readonly E[]>;

/** The streams of a category, by what they are about. */
export function streamsOf<E>(events: readonly RecordedEvent[], category: string): Streams<E> {
  const streams = new Map<string, E[]>();
  for (const event of events) {
    if (categoryOf(event.stream) !== category) continue;
    const id = idOf(event.stream);
    const stream = streams.get(id);
    if (stream) stream.push(event as E);
    else streams.set(id, [event as E]);
  }
  return streams;
}
