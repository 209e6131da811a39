/**
 * What must be true of a shop after anything that can happen to it, read from what is durable: the events of the three
 * services, the messages on the bus, the tables, the parked lines and the provider's ledger.
 */
import { perService, type Service, services, shop } from '../../apps/shop.js';
import { type DeadLetters, type MemoryLog, type ParkedMessages, toMessages } from '#message-bus';
import { categoryOf, idOf, type RecordedEvent } from '#event-store';
import { fold, type MemoryTables } from '#projections';
import type { ReservationEvent } from '../../apps/inventory/src/domain/reservation.js';
import { stock, type StockEvent } from '../../apps/inventory/src/domain/stock.js';
import { isSettled, order, type Order, type OrderEvent } from '../../apps/order/src/domain/order.js';
import { payment, type PaymentEvent } from '../../apps/payment/src/domain/payment.js';
import type { LedgerEntry } from '../../apps/payment/src/simulator/ledger.js';

/** A rule that does not hold: its name, what is wrong in a sentence, and the orders that it is about. */
export interface Violation {
  readonly rule: string;
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
  /** Whether nothing went wrong for so long that an order would have had to be reminded of. */
  readonly mild: boolean;
  /** The ids of the messages that each service was given in a batch that it was done with. */
  readonly handled: Readonly<Record<Service, ReadonlySet<string>>>;
  /** Receipts and recounts that were accepted, by the id of their entry. */
  readonly entries: ReadonlyMap<string, { readonly sku: string; readonly quantity: number }>;
}

export interface Durable {
  readonly events: Readonly<Record<Service, readonly RecordedEvent[]>>;
  readonly tables: Readonly<Record<Service, MemoryTables>>;
  readonly parked: Readonly<Record<Service, ParkedMessages & DeadLetters>>;
  readonly log: MemoryLog;
  readonly ledger: readonly LedgerEntry[];
  readonly promises: Promises;
}

export async function violations(durable: Durable): Promise<Violation[]> {
  const orders = streamsOf<OrderEvent>(durable.events.order, 'order');
  return [
    ...brokenPromises(durable, orders),
    ...wrongEndings(orders),
    ...wrongDeadlines(durable, orders),
    ...neededReminders(durable, orders),
    ...wrongStock(durable),
    ...wrongHolds(durable, orders),
    ...wrongMoney(durable, orders),
    ...settledTooEarly(durable, orders),
    ...services.flatMap((service) => [...wrongMessages(durable, service), ...passedOver(durable, service)]),
    ...services.flatMap((service) => [...wrongRows(durable, service)]),
    ...(await wrongLines(durable)),
  ];
}

/** An order as its stream has it. */
export function orderAfter(events: readonly OrderEvent[]): Order {
  return events.reduce(order.evolve, order.initialState);
}

/** What was promised to the outside: accepted orders and entries exist, what was cancelled is not sold. */
function* brokenPromises({ promises, events }: Durable, orders: Streams<OrderEvent>): Iterable<Violation> {
  for (const id of promises.accepted) {
    if (!orders.has(id)) yield about('accepted-order-lost', `The ${id} was accepted, and does not exist.`, id);
  }
  for (const id of promises.cancelled) {
    const { status } = orderAfter(orders.get(id) ?? []);
    if (status !== 'cancelled' && status !== 'rejected') {
      yield about('cancellation-lost', `The cancellation of ${id} was accepted, and it is ${status}.`, id);
    }
  }
  for (const [id, told] of promises.told) {
    const { status } = orderAfter(orders.get(id) ?? []);
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

const ENDS = ['OrderCompleted', 'OrderRejected', 'OrderCancelled'];

/** Every order has one end, is settled once, and nothing else comes after it but news of money that went back. */
function* wrongEndings(orders: Streams<OrderEvent>): Iterable<Violation> {
  for (const [id, events] of orders) {
    const ends = events.filter(({ type }) => ENDS.includes(type)).map(({ type }) => type);
    const state = orderAfter(events);
    if (ends.length === 0) yield about('order-without-end', `The ${id} is ${state.status} and has no end.`, id);
    else if (!isSettled(state)) {
      yield about('order-not-settled', `The ${id} is ${state.status}, and still waits for what it holds.`, id);
    }
    if (ends.length > 1) yield about('order-ends-twice', `The ${id} has two ends: ${ends.join(' and ')}.`, id);
    const settled = events.filter(({ type }) => type === 'OrderSettled').length;
    if (settled > 1 || (settled === 1 && state.status === 'completed')) {
      yield about(
        'order-settled-twice',
        `The ${id} says ${settled} times that it is settled, and is ${state.status}.`,
        id,
      );
    }
  }
}

/** An order is not called off before its deadline, and not confirmed long after it. */
function* wrongDeadlines({ promises }: Durable, orders: Streams<OrderEvent>): Iterable<Violation> {
  for (const [id, events] of orders as Streams<RecordedEvent<OrderEvent>>) {
    const [placed] = events;
    if (placed?.type !== 'OrderPlaced') continue;
    const deadlineMs = Date.parse(placed.data.deadlineAt);
    for (const event of events) {
      const atMs = Date.parse(event.recordedAt);
      if (event.type === 'OrderCancelled' && event.data.reason === 'deadline' && atMs < deadlineMs) {
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
function* neededReminders({ promises }: Durable, orders: Streams<OrderEvent>): Iterable<Violation> {
  if (!promises.mild) return;
  for (const [id, events] of orders as Streams<RecordedEvent<OrderEvent>>) {
    const [placed, ...rest] = events;
    if (placed?.type !== 'OrderPlaced' || placed.data.paymentToken === 'tok_down_30s') continue;
    // What the provider refuses waits for a person, and what a person asks for is no reminder that was needed.
    const reminded = rest.find(({ type, metadata }) => type === 'OrderReminded' && metadata.actor === undefined);
    const refused = rest.some(({ type }) => type === 'OrderPaymentRefused');
    if (reminded && !refused) yield about('reminder-needed', `The ${id} got on only after a reminder.`, id);
  }
}

/** No SKU is ever short of nothing; what came in is available, reserved or shipped; what the lines say adds up. */
function* wrongStock({ events }: Durable): Iterable<Violation> {
  for (const [sku, facts] of streamsOf<StockEvent>(events.inventory, 'stock')) {
    let state = stock.initialState;
    let came = 0;
    for (const event of facts) {
      state = stock.evolve(state, event);
      if (event.type === 'StockReceived') came += event.data.quantity;
      if (event.type === 'StockRecounted') came += event.data.difference;
      const { available, reserved, shipped } = state;
      if (available < 0 || reserved < 0 || shipped < 0) {
        const orders = 'orderId' in event.data ? [event.data.orderId] : [];
        yield {
          rule: 'stock-below-zero',
          text: `${sku}: ${available} available, ${reserved} reserved, ${shipped} shipped after ${event.type}.`,
          orders,
        };
      }
    }
    const { available, reserved, shipped } = state;
    if (available + reserved + shipped !== came) {
      yield about(
        'stock-unbalanced',
        `${sku}: ${came} came in, and ${available} available + ${reserved} reserved + ${shipped} shipped are there.`,
      );
    }
  }
}

/** What each event does to the units that are reserved and shipped for an order. */
const HOLDS: Record<string, readonly [number, number]> = {
  StockReserved: [1, 0],
  StockReleased: [-1, 0],
  StockShipped: [-1, 1],
  StockReturned: [0, -1],
};

/** What an order holds of the stock, by its reservation and by the stock, is what its state says: the lines, or nothing. */
function* wrongHolds({ events }: Durable, orders: Streams<OrderEvent>): Iterable<Violation> {
  const held = new Map<string, Map<string, { reserved: number; shipped: number }>>();
  for (const [sku, facts] of streamsOf<StockEvent>(events.inventory, 'stock')) {
    for (const { type, data } of facts) {
      if (!('orderId' in data)) continue;
      const ofOrder = held.get(data.orderId) ?? new Map<string, { reserved: number; shipped: number }>();
      held.set(data.orderId, ofOrder);
      const units = ofOrder.get(sku) ?? { reserved: 0, shipped: 0 };
      ofOrder.set(sku, units);
      const [reserved, shipped] = HOLDS[type] ?? [0, 0];
      units.reserved += reserved * data.quantity;
      units.shipped += shipped * data.quantity;
    }
  }
  const reservations = streamsOf<ReservationEvent>(events.inventory, 'reservation');
  for (const id of new Set([...orders.keys(), ...held.keys(), ...reservations.keys()])) {
    const state = orderAfter(orders.get(id) ?? []);
    const sold = state.status === 'completed' ? linesOf(state.terms.lines) : '';
    const units = [...(held.get(id) ?? [])];
    const reserved = linesOf(units.map(([sku, { reserved }]) => ({ sku, quantity: reserved })));
    const shipped = linesOf(units.map(([sku, { shipped }]) => ({ sku, quantity: shipped })));
    if (reserved !== '' || shipped !== sold) {
      const says = `the stock has ${reserved || 'nothing'} reserved and ${shipped || 'nothing'} shipped for it`;
      yield about('stock-held-wrong', `The ${id} is ${state.status}, and ${says}.`, id);
    }
    const last = reservations.get(id)?.findLast((event) => event.type === 'ReservationMade' || 'lines' in event.data);
    const byReservation = last?.type === 'ReservationShipped' ? linesOf(last.data.lines) : '';
    const open = last?.type === 'ReservationMade' ? linesOf(last.data.lines) : '';
    if (open !== reserved || byReservation !== shipped) {
      const says = `its reservation has ${open || 'nothing'} reserved and ${byReservation || 'nothing'} shipped`;
      yield about(
        'reservation-and-stock-differ',
        `The stock of ${id} has ${reserved || 'nothing'} reserved and ${shipped || 'nothing'} shipped, ${says}.`,
        id,
      );
    }
  }
}

/** The provider took what completed orders owe, once, and nothing else; the payment's own stream says the same. */
function* wrongMoney({ events, ledger }: Durable, orders: Streams<OrderEvent>): Iterable<Violation> {
  const books = new Map<string, { held: number; captured: number; refunded: number; captures: number }>();
  for (const { orderId, heldMinor, chargedMinor, type } of ledger) {
    const book = books.get(orderId) ?? { held: 0, captured: 0, refunded: 0, captures: 0 };
    books.set(orderId, book);
    book.held += heldMinor;
    if (type === 'captured') {
      book.captures++;
      book.captured += chargedMinor;
    } else book.refunded -= chargedMinor;
  }
  const payments = streamsOf<PaymentEvent>(events.payment, 'payment');
  for (const id of new Set([...orders.keys(), ...books.keys(), ...payments.keys()])) {
    const state = orderAfter(orders.get(id) ?? []);
    const owed = state.status === 'completed' ? state.terms.total.amountMinor : 0;
    const { held, captured, refunded, captures } = books.get(id) ?? { held: 0, captured: 0, refunded: 0, captures: 0 };
    if (held !== 0)
      yield about('money-held', `The ${id} is ${state.status}, and the provider still holds ${held}.`, id);
    if (captured - refunded !== owed) {
      yield about(
        'money-wrong',
        `The ${id} is ${state.status} and owes ${owed}; the provider took ${captured} and gave back ${refunded}.`,
        id,
      );
    }
    if (captures > 1) yield about('captured-twice', `The ${id} was captured ${captures} times.`, id);

    const facts = payments.get(id) ?? [];
    const noted = (type: 'PaymentCaptured' | 'PaymentRefunded') =>
      facts.reduce((sum, event) => sum + (event.type === type ? event.data.amount.amountMinor : 0), 0);
    const { status } = facts.reduce(payment.evolve, payment.initialState);
    if (noted('PaymentCaptured') !== captured || noted('PaymentRefunded') !== refunded) {
      const says = `its payment says ${noted('PaymentCaptured')} and ${noted('PaymentRefunded')}`;
      yield about(
        'payment-and-ledger-differ',
        `The provider took ${captured} and gave back ${refunded} of ${id}, ${says}.`,
        id,
      );
    }
    if (['requested', 'authorized', 'capturing', 'returning'].includes(status)) {
      yield about('payment-without-end', `The ${id} is ${state.status}, and its payment is ${status}.`, id);
    }
  }
}

/** An order that is off holds neither units nor money from the moment on at which it says that it is settled. */
function* settledTooEarly({ events, ledger }: Durable, orders: Streams<OrderEvent>): Iterable<Violation> {
  const settledAt = new Map<string, string>();
  for (const [id, facts] of orders as Streams<RecordedEvent<OrderEvent>>) {
    const settled = facts.find(({ type }) => type === 'OrderSettled');
    if (settled) settledAt.set(id, settled.recordedAt);
  }
  const left = new Map<string, number>();
  const note = (id: string, at: string, units: number) => {
    if (at <= (settledAt.get(id) ?? '')) left.set(id, (left.get(id) ?? 0) + units);
  };
  for (const { orderId, at, heldMinor, chargedMinor } of ledger) note(orderId, at, heldMinor + chargedMinor);
  for (const [, facts] of streamsOf<RecordedEvent<StockEvent>>(events.inventory, 'stock')) {
    for (const { type, data, recordedAt } of facts) {
      if (!('orderId' in data)) continue;
      const [reserved, shipped] = HOLDS[type] ?? [0, 0];
      note(data.orderId, recordedAt, (reserved + shipped) * data.quantity);
    }
  }
  for (const [id, units] of left) {
    if (units !== 0)
      yield about('settled-too-early', `The ${id} said that it was settled while it held something.`, id);
  }
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

/** Every read model and to-do list is what a fold of all events gives. */
function* wrongRows({ events, tables }: Durable, service: Service): Iterable<Violation> {
  for (const projection of shop[service].projections) {
    const { name, keyColumns, categories } = projection;
    const textOf = (row: Record<string, unknown>) =>
      JSON.stringify(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)));
    const keyOf = (row: Record<string, unknown>) => keyColumns.map((column) => row[column]).join(' ');
    const relevant = events[service].filter(({ stream }) => categories.includes(categoryOf(stream)));
    const fresh = new Map(fold<any, any>(projection, [], relevant).upserts.map((row) => [keyOf(row), textOf(row)]));
    const live = new Map(tables[service].rows(projection).map((row) => [keyOf(row), textOf(row)]));
    for (const key of new Set([...fresh.keys(), ...live.keys()])) {
      if (fresh.get(key) === live.get(key)) continue;
      yield about(
        'read-model-wrong',
        `${name} has ${live.get(key) ?? 'no row'} for ${key}; a fresh fold gives ${fresh.get(key) ?? 'none'}.`,
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

function about(rule: string, text: string, orderId?: string): Violation {
  return { rule, text, orders: orderId === undefined ? [] : [orderId] };
}

/** Units by SKU in one text, so that two can be compared; empty for none. */
function linesOf(lines: readonly { sku: string; quantity: number }[]): string {
  return lines
    .filter(({ quantity }) => quantity !== 0)
    .map(({ sku, quantity }) => `${quantity} ${sku}`)
    .sort()
    .join(', ');
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
