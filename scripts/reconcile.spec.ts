/** What reconcile finds and what it leaves alone, over books in memory: one small shop, damaged in one place at a time. */
import { describe, expect, test } from 'vitest';
import type { EntryEvent } from '../apps/inventory/src/domain/entry.js';
import type { ReservationEvent } from '../apps/inventory/src/domain/reservation.js';
import type { StockEvent } from '../apps/inventory/src/domain/stock.js';
import type { OrderEvent } from '../apps/order/src/domain/order.js';
import type { PriceEvent } from '../apps/order/src/domain/price.js';
import type { PaymentEvent } from '../apps/payment/src/domain/payment.js';
import { MemoryLedger } from '../apps/payment/src/simulator/ledger.js';
import type { Entry } from '../apps/payment/src/simulator/payment.js';
import { formatMoney } from '#contracts';
import { MemoryEvents, MemoryEventStore } from '#event-store';
import { fold, MemoryTables, type Row } from '#projections';
import { type Clock, SystemClock } from '#runtime';
import { ManualClock, SequentialIds } from '#runtime/testing';
import { run } from './reconcile.js';
import { type Books, keysInMemory } from './lib/reconcile/books.js';
import { allReadModels } from './lib/reconcile/read-models.js';
import { type Finding, reconcile } from './lib/reconcile/reconcile.js';
import { Roll } from './lib/reconcile/roll.js';
import { perService, type Service, services } from '../apps/shop.js';

const clock = new SystemClock();
const PAUSE_MS = 20;

type AnyEvent = OrderEvent | PriceEvent | ReservationEvent | StockEvent | EntryEvent | PaymentEvent;
/** Events with their streams; those of one append stand in one array. */
type Append = [stream: string, event: AnyEvent][];

/** One order each of what can become of one. */
const ids = {
  completed: '00000000-0000-4000-8000-00000000000a',
  declined: '00000000-0000-4000-8000-00000000000b',
  short: '00000000-0000-4000-8000-00000000000c',
  cancelled: '00000000-0000-4000-8000-00000000000d',
  calledOff: '00000000-0000-4000-8000-00000000000e',
  open: '00000000-0000-4000-8000-00000000000f',
};
const unknown = '00000000-0000-4000-8000-0000000000ff';

const total = { amountMinor: 2598, currency: 'EUR' };
const lines = [{ sku: 'oil', quantity: 2 }];
const NOTHING = {};

const placed: OrderEvent = {
  type: 'OrderPlaced',
  data: {
    customerId: unknown,
    lines: [{ sku: 'oil', quantity: 2, unitPrice: { amountMinor: 1299, currency: 'EUR' } }],
    total,
    paymentToken: 'tok_approved',
    tokenDigest: 'digest',
    placedAt: '2026-11-21T12:00:00.000Z',
    deadlineAt: '2026-11-21T12:15:00.000Z',
  },
};
const reserved: OrderEvent = { type: 'OrderStockReserved', data: { total, paymentToken: 'tok_approved' } };
const confirmed: OrderEvent = { type: 'OrderConfirmed', data: NOTHING };
const settled: OrderEvent = { type: 'OrderSettled', data: NOTHING };

const STOCK = {
  ReservationMade: 'StockReserved',
  ReservationReleased: 'StockReleased',
  ReservationShipped: 'StockShipped',
  ReservationReturned: 'StockReturned',
} as const;

/** A reservation's event and the stock's, as the warehouse appends them. */
function move(orderId: string, type: keyof typeof STOCK): Append {
  return [
    [`reservation-${orderId}`, { type, data: { lines } }],
    ['stock-oil', { type: STOCK[type], data: { orderId, quantity: 2 } }],
  ];
}

const auth = (amountMinor: number): Entry => ({
  type: 'authorized',
  currency: 'EUR',
  heldMinor: amountMinor,
  chargedMinor: 0,
});
const capture: Entry = { type: 'captured', currency: 'EUR', heldMinor: -2598, chargedMinor: 2598 };
const voided: Entry = { type: 'voided', currency: 'EUR', heldMinor: -2598, chargedMinor: 0 };
const refund: Entry = { type: 'refunded', currency: 'EUR', heldMinor: 0, chargedMinor: -2598 };

const ordered = (orderId: string, ...events: OrderEvent[]): Append[] =>
  events.map((event) => [[`order-${orderId}`, event]]);
const paid = (orderId: string, ...events: PaymentEvent[]): Append[] =>
  events.map((event) => [[`payment-${orderId}`, event]]);
const requested: PaymentEvent = { type: 'PaymentRequested', data: { amount: total, token: 'tok_approved' } };
const authorized: PaymentEvent = { type: 'PaymentAuthorized', data: { authorizationId: 'auth_1', amount: total } };
const captureRequested: PaymentEvent = { type: 'PaymentCaptureRequested', data: NOTHING };
const captured: PaymentEvent = { type: 'PaymentCaptured', data: { amount: total } };
const returning: PaymentEvent = { type: 'PaymentReturnRequested', data: NOTHING };

/** Everything that a healthy shop has written. A test changes it before, or after, it is put into the stores. */
function script() {
  const { completed, declined, short, cancelled, calledOff, open } = ids;
  return {
    order: [
      [['price-oil', { type: 'PriceSet', data: { amountMinor: 1299, currency: 'EUR' } }]],
      ...ordered(completed, placed, reserved, confirmed, { type: 'OrderStockShipped', data: NOTHING }),
      [
        [`order-${completed}`, { type: 'OrderPaymentCaptured', data: NOTHING }],
        [`order-${completed}`, { type: 'OrderCompleted', data: NOTHING }],
      ],
      ...ordered(
        declined,
        placed,
        reserved,
        { type: 'OrderRejected', data: { reason: 'payment-declined', detail: 'declined' } },
        { type: 'OrderStockReleased', data: { outcome: 'released' } },
        settled,
      ),
      ...ordered(short, placed, { type: 'OrderRejected', data: { reason: 'out-of-stock', short: ['oil'] } }, settled),
      ...ordered(
        cancelled,
        placed,
        reserved,
        { type: 'OrderCancelled', data: { reason: 'customer' } },
        { type: 'OrderStockReleased', data: { outcome: 'released' } },
        { type: 'OrderPaymentReturned', data: { outcome: 'voided' } },
        settled,
      ),
      ...ordered(
        calledOff,
        placed,
        reserved,
        confirmed,
        { type: 'OrderStockShipped', data: NOTHING },
        { type: 'OrderCancelled', data: { reason: 'operator' } },
        { type: 'OrderStockReleased', data: { outcome: 'returned' } },
        { type: 'OrderPaymentReturned', data: { outcome: 'refunded' } },
        settled,
      ),
      ...ordered(open, placed, reserved),
    ] as Append[],
    inventory: [
      [
        ['entry-e1', { type: 'EntryMade', data: { kind: 'receipt', sku: 'oil', quantity: 9 } }],
        ['stock-oil', { type: 'StockReceived', data: { quantity: 9 } }],
      ],
      [
        ['entry-e2', { type: 'EntryMade', data: { kind: 'recount', sku: 'oil', quantity: 8 } }],
        ['stock-oil', { type: 'StockRecounted', data: { counted: 8, difference: -1 } }],
      ],
      move(completed, 'ReservationMade'),
      move(completed, 'ReservationShipped'),
      move(declined, 'ReservationMade'),
      move(declined, 'ReservationReleased'),
      [[`reservation-${short}`, { type: 'ReservationRejected', data: { short: ['oil'] } }]],
      move(cancelled, 'ReservationMade'),
      move(cancelled, 'ReservationReleased'),
      move(calledOff, 'ReservationMade'),
      move(calledOff, 'ReservationShipped'),
      move(calledOff, 'ReservationReturned'),
      move(open, 'ReservationMade'),
    ] as Append[],
    payment: [
      ...paid(completed, requested, authorized, captureRequested, captured),
      ...paid(declined, requested, { type: 'PaymentDeclined', data: { reason: 'declined' } }),
      ...paid(cancelled, requested, authorized, returning, {
        type: 'PaymentVoided',
        data: { authorizationId: 'auth_1' },
      }),
      ...paid(calledOff, requested, authorized, captureRequested, captured, returning, {
        type: 'PaymentRefunded',
        data: { amount: total },
      }),
      ...paid(open, requested),
    ],
    ledger: [
      [completed, auth(2598)],
      [completed, capture],
      [declined, { type: 'declined', currency: 'EUR', heldMinor: 0, chargedMinor: 0 }],
      [cancelled, auth(2598)],
      [cancelled, voided],
      [calledOff, auth(2598)],
      [calledOff, capture],
      [calledOff, refund],
      [open, auth(2598)],
    ] as [orderId: string, entry: Entry][],
  };
}

type Script = ReturnType<typeof script>;

interface Shop {
  readonly books: Books;
  readonly events: Record<Service, MemoryEvents>;
  readonly tables: Record<Service, MemoryTables>;
  readonly ledger: MemoryLedger;
  /** Puts a row into the place of another; undefined takes it away. */
  setRow(table: string, key: string, row: Row | undefined): Promise<void>;
}

/** Puts a script into stores, and what follows from it into the tables. The clocks of the services may be wrong. */
async function open(written: Script, clocks: Partial<Record<Service, Clock>> = {}): Promise<Shop> {
  const uuid = new SequentialIds();
  const events = perService(() => new MemoryEvents());
  const tables = perService(() => new MemoryTables());
  const ledger = new MemoryLedger();
  const stores = services.map(
    (service) => [service, new MemoryEventStore(clocks[service] ?? clock, events[service])] as const,
  );
  const metadata = { correlationId: 'c', causationId: 'c', schema: 1 };
  for (const [service, store] of stores) {
    for (const append of (written as Partial<Record<Service, Append[]>>)[service] ?? []) {
      const streams = new Set(append.map(([stream]) => stream));
      await store.append(
        [...streams].map((stream) => ({
          stream,
          expected: events[service].streams.get(stream)?.at(-1)?.revision ?? 'none',
          events: append
            .filter(([name]) => name === stream)
            .map(([, { type, data }]) => ({ id: uuid.next(), type, data, metadata })),
        })),
      );
    }
  }
  for (const { service, projection } of allReadModels) {
    const { all } = events[service];
    const about = all.filter(({ stream }) => projection.categories.includes(stream.split('-')[0]!));
    const { upserts } = fold(projection, [], about);
    await tables[service].commit({ projection, from: 0n, to: BigInt(all.length), upserts, deletes: [] });
  }
  for (const [orderId, entry] of written.ledger) {
    await ledger.change(orderId, clock.now(), () => ({ payment: undefined, entries: [entry], answer: undefined }));
  }
  const serviceBooks = stores.map(([service, store]) => [
    service,
    { store, tables: tables[service], keys: (projection: never) => keysInMemory(tables[service], projection) },
  ]);
  return {
    books: { ...Object.fromEntries(serviceBooks), ledger } as Books,
    events,
    tables,
    ledger,
    async setRow(table, key, row) {
      const { service, projection } = allReadModels.find(({ projection }) => projection.table === table)!;
      const at = await tables[service].checkpoint(projection);
      const deletes = row ? [] : [{ [projection.keyColumns[0]!]: key }];
      await tables[service].commit({ projection, from: at, to: at, upserts: row ? [row] : [], deletes });
    },
  };
}

async function all(findings: AsyncIterable<Finding>): Promise<Finding[]> {
  const found: Finding[] = [];
  for await (const finding of findings) found.push(finding);
  return found;
}

async function findingsIn({ books }: Shop, atRest = false): Promise<Finding[]> {
  return all(reconcile(books, { clock, pauseMs: PAUSE_MS, atRest }));
}

async function findingsAfter(damage: (written: Script) => void, atRest = false): Promise<Finding[]> {
  const written = script();
  damage(written);
  return findingsIn(await open(written), atRest);
}

const about = (stream: string) => (append: Append) => append.some(([name]) => name === stream);
const typesIn = (append: Append) => append.map(([, { type }]) => type);

/** Takes events away, from wherever they stand in an append. */
function without(appends: Append[], stream: string, type?: string): Append[] {
  const kept = (append: Append) => append.filter(([name, event]) => name !== stream || (type && event.type !== type));
  return appends.map(kept).filter((append) => append.length > 0);
}

test('of a healthy shop, with an order under way, nothing is said', async () => {
  expect(await findingsIn(await open(script()))).toEqual([]);
});

test('of an empty shop, nothing is said', async () => {
  expect(await findingsIn(await open({ order: [], inventory: [], payment: [], ledger: [] }))).toEqual([]);
});

describe('goods', () => {
  test('a lost release: the order is off and settled, the reservation still holds', async () => {
    const findings = await findingsAfter((written) => {
      written.inventory = written.inventory.filter(
        (append) => !about(`reservation-${ids.declined}`)(append) || !typesIn(append).includes('ReservationReleased'),
      );
    });
    expect(findings).toEqual([
      {
        kind: 'lost-release',
        orderId: ids.declined,
        books: [`order-${ids.declined}`, `reservation-${ids.declined}`],
        message:
          `Order ${ids.declined} is rejected (payment-declined) and settled: 2 × oil. ` +
          `But reservation-${ids.declined} still holds 2 × oil.`,
      },
    ]);
  });

  test('a lost release: the reservation is released, the stock lacks it', async () => {
    const findings = await findingsAfter(({ inventory }) => {
      const release = inventory.find(
        (append) => about(`reservation-${ids.cancelled}`)(append) && typesIn(append).includes('ReservationReleased'),
      )!;
      release.pop();
    });
    expect(findings).toContainEqual({
      kind: 'stock-and-reservation-differ',
      orderId: ids.cancelled,
      sku: 'oil',
      books: ['stock-oil', `reservation-${ids.cancelled}`],
      message: `Order ${ids.cancelled}: reservation-${ids.cancelled} released 2 × oil, but stock-oil released nothing for it.`,
    });
    expect(findings.map(({ kind }) => kind)).toEqual(['stock-and-reservation-differ', 'stock-and-reservations-differ']);
  });

  test.each<[string, string, (written: Script) => void]>([
    [
      'lines-differ',
      ids.completed,
      ({ inventory }) => {
        for (const append of inventory.filter(about(`reservation-${ids.completed}`))) {
          for (const [, { data }] of append) {
            Object.assign(data, 'lines' in data ? { lines: [{ sku: 'oil', quantity: 1 }] } : { quantity: 1 });
          }
        }
      },
    ],
    [
      'not-shipped',
      ids.completed,
      (written) =>
        (written.inventory = written.inventory.filter(
          (append) => !about(`reservation-${ids.completed}`)(append) || !typesIn(append).includes('ReservationShipped'),
        )),
    ],
    ['goods-moved-twice', ids.completed, ({ inventory }) => inventory.push(move(ids.completed, 'ReservationShipped'))],
    ['goods-moved-twice', ids.open, ({ inventory }) => inventory.push(move(ids.open, 'ReservationReturned'))],
    [
      'lost-return',
      ids.calledOff,
      (written) =>
        (written.inventory = written.inventory.filter((append) => !typesIn(append).includes('ReservationReturned'))),
    ],
    [
      'reservation-missing',
      ids.open,
      (written) =>
        (written.inventory = written.inventory.filter((append) => !about(`reservation-${ids.open}`)(append))),
    ],
    [
      'reservation-missing',
      ids.cancelled,
      (written) =>
        (written.inventory = written.inventory.filter((append) => !about(`reservation-${ids.cancelled}`)(append))),
    ],
  ])('%s', async (kind, orderId, damage) => {
    expect(await findingsAfter(damage)).toMatchObject([{ kind, orderId }]);
  });

  test.each<[string[], (written: Script) => void]>([
    [['stock-and-entry-differ'], ({ inventory }) => Object.assign(inventory[0]![1]![1].data, { quantity: 8 })],
    [
      ['stock-and-entry-differ', 'stock-negative'],
      ({ inventory }) => Object.assign(inventory[0]![1]![1].data, { quantity: 2 }),
    ],
    [
      ['stock-and-reservation-differ', 'stock-and-reservations-differ'],
      ({ inventory }) =>
        inventory.push([['stock-oil', { type: 'StockReserved', data: { orderId: unknown, quantity: 1 } }]]),
    ],
  ])('of a SKU: %s', async (kinds, damage) => {
    const findings = await findingsAfter(damage);
    expect(findings.map(({ kind }) => kind).toSorted()).toEqual(kinds);
    for (const finding of findings)
      expect(finding).toMatchObject({ sku: 'oil', message: expect.stringContaining('oil') });
  });
});

describe('money', () => {
  test('a double capture at the provider', async () => {
    const findings = await findingsAfter(({ ledger }) => ledger.push([ids.completed, { ...capture, heldMinor: 0 }]));
    expect(findings).toEqual([
      {
        kind: 'double-capture',
        orderId: ids.completed,
        books: ['ledger', `payment-${ids.completed}`],
        message:
          `Order ${ids.completed} is completed, its total is EUR 25.98. But the ledger took EUR 51.96 in 2 captures, ` +
          `and payment-${ids.completed} took EUR 25.98.`,
      },
    ]);
  });

  test.each<[string, string, (written: Script) => void]>([
    ['double-capture', ids.completed, ({ payment }) => payment.push(...paid(ids.completed, captured))],
    ['double-capture', ids.open, ({ ledger }) => ledger.push([ids.open, capture], [ids.open, capture])],
    [
      'not-paid',
      ids.completed,
      (written) => (written.payment = without(written.payment, `payment-${ids.completed}`, 'PaymentCaptured')),
    ],
    ['not-paid', ids.completed, ({ ledger }) => ledger.push([ids.completed, refund])],
    ['not-paid', ids.completed, (written) => (written.ledger = written.ledger.filter(([id]) => id !== ids.completed))],
    [
      'lost-refund',
      ids.cancelled,
      (written) =>
        (written.payment = written.payment.filter(
          (append) => !about(`payment-${ids.cancelled}`)(append) || !/Return|Void/.test(`${typesIn(append)}`),
        )),
    ],
    ['money-not-owed', ids.calledOff, ({ ledger }) => ledger.splice(7, 1)],
    ['money-not-owed', ids.open, ({ ledger }) => ledger.push([ids.open, { ...capture, chargedMinor: 2599 }])],
    ['money-held', ids.cancelled, ({ ledger }) => ledger.splice(4, 1)],
    ['payment-and-ledger-differ', ids.calledOff, ({ ledger }) => ledger.splice(6, 2, [ids.calledOff, voided])],
    [
      'totals-differ',
      ids.completed,
      ({ payment }) => {
        payment.splice(
          0,
          1,
          ...paid(ids.completed, {
            type: 'PaymentRequested',
            data: { amount: { ...total, amountMinor: 1 }, token: '' },
          }),
        );
      },
    ],
    [
      'totals-differ',
      ids.declined,
      ({ ledger }) => {
        ledger.push([ids.declined, { type: 'declined', currency: 'USD', heldMinor: 0, chargedMinor: 0 }]);
      },
    ],
    [
      'ledger-without-payment',
      ids.open,
      (written) => (written.payment = written.payment.filter((append) => !about(`payment-${ids.open}`)(append))),
    ],
    ['payment-missing', ids.open, ({ order }) => order.push(...ordered(ids.open, confirmed))],
  ])('%s', async (kind, orderId, damage) => {
    expect(await findingsAfter(damage)).toMatchObject([{ kind, orderId, message: expect.stringContaining(orderId) }]);
  });

  test('a hold in another currency that went back before payment heard of it is no disagreement; one that stays is', async () => {
    const heldInYen = { type: 'authorized', currency: 'JPY', heldMinor: 2598, chargedMinor: 0 } as const;
    const gone = { type: 'voided', currency: 'JPY', heldMinor: -2598, chargedMinor: 0 } as const;
    expect(await findingsAfter(({ ledger }) => ledger.push([ids.declined, heldInYen], [ids.declined, gone]))).toEqual(
      [],
    );
    expect(await findingsAfter(({ ledger }) => ledger.push([ids.declined, heldInYen]))).toMatchObject([
      { kind: 'totals-differ', orderId: ids.declined },
    ]);
  });

  test('money that came late may be on its way back for as long as it takes', async () => {
    const findings = await findingsAfter(({ payment, ledger }) => {
      payment.push(...paid(ids.declined, authorized, returning));
      ledger.push([ids.declined, auth(2598)]);
    });
    expect(findings).toEqual([]);
  });
});

describe('a shop at rest', () => {
  /** Takes away the order that is under way. */
  function finish(written: Script): void {
    const { open } = ids;
    written.order = written.order.filter((append) => !about(`order-${open}`)(append));
    written.inventory = written.inventory.filter((append) => !about(`reservation-${open}`)(append));
    written.payment = written.payment.filter((append) => !about(`payment-${open}`)(append));
    written.ledger = written.ledger.filter(([orderId]) => orderId !== open);
  }

  const atRestAfter = (damage: (written: Script) => void) =>
    findingsAfter((written) => {
      finish(written);
      damage(written);
    }, true);

  test('where every order and payment is final, nothing is found', async () => {
    expect(await atRestAfter(() => {})).toEqual([]);
  });

  test('an order that is not final', async () => {
    const { completed } = ids;
    const findings = await atRestAfter(
      (written) => (written.order = without(written.order, `order-${completed}`, 'OrderCompleted')),
    );
    expect(findings).toEqual([
      {
        kind: 'order-without-end',
        orderId: completed,
        books: [`order-${completed}`],
        message: `Order ${completed}: order-${completed} is confirmed, without an end, and nothing is under way.`,
      },
    ]);
  });

  test.each([
    ['still waits for its money', /OrderSettled|OrderPaymentReturned/],
    ['does not record that it is settled', /OrderSettled/],
  ])('an order that is off, and %s', async (_, gone) => {
    const { cancelled } = ids;
    const findings = await atRestAfter((written) => {
      const isGone = (append: Append) => about(`order-${cancelled}`)(append) && gone.test(`${typesIn(append)}`);
      written.order = written.order.filter((append) => !isGone(append));
    });
    expect(findings).toMatchObject([{ kind: 'order-without-end', orderId: cancelled }]);
  });

  test('a payment that is not final', async () => {
    const { short } = ids;
    expect(await atRestAfter(({ payment }) => payment.push(...paid(short, requested)))).toEqual([
      {
        kind: 'payment-without-end',
        orderId: short,
        books: [`payment-${short}`],
        message: `Order ${short}: payment-${short} is requested, and nothing is under way.`,
      },
    ]);
  });

  test('money on its way back is not excused', async () => {
    const findings = await atRestAfter(({ payment, ledger }) => {
      payment.push(...paid(ids.declined, authorized, returning));
      ledger.push([ids.declined, auth(2598)]);
    });
    expect(findings.map(({ kind }) => kind)).toEqual(['payment-without-end', 'lost-refund']);
  });
});

describe('orders that are not known', () => {
  test('an order without its stream is told once, with all who know it', async () => {
    const shop = await open(script());
    const { all, appendEnds, streams } = shop.events.order;
    streams.delete(`order-${ids.completed}`);
    const kept = all.filter(({ stream }) => stream !== `order-${ids.completed}`);
    all.splice(0, all.length, ...kept.map((event, i) => ({ ...event, position: BigInt(i + 1) })));
    appendEnds.splice(0, appendEnds.length, ...all.map((_, i) => i + 1));
    const findings = await findingsIn(shop);
    expect(findings.filter(({ kind }) => kind !== 'read-model-behind')).toEqual([
      {
        kind: 'order-without-stream',
        orderId: ids.completed,
        books: [
          `order-${ids.completed}`,
          `reservation-${ids.completed}`,
          `payment-${ids.completed}`,
          'ledger',
          'order_summary',
          'reservation_summary',
          'payment_summary',
        ],
        message: expect.stringContaining(`there is no stream order-${ids.completed}`),
      },
    ]);
  });

  test('a ledger entry without an order', async () => {
    const findings = await findingsAfter(({ ledger }) => ledger.push([unknown, auth(100)]));
    expect(findings).toEqual([
      {
        kind: 'ledger-without-order',
        orderId: unknown,
        books: [`order-${unknown}`, 'ledger'],
        message: `Order ${unknown}: the provider's ledger says authorized (entry 10), but there is no such order.`,
      },
    ]);
  });

  test.each<[string, (written: Script) => void]>([
    [
      'a reservation',
      ({ inventory }) => inventory.push(move(unknown, 'ReservationMade'), move(unknown, 'ReservationReleased')),
    ],
    ['a payment', ({ payment }) => payment.push(...paid(unknown, requested))],
  ])('%s without an order', async (_, damage) => {
    expect(await findingsAfter(damage)).toMatchObject([{ kind: 'order-without-stream', orderId: unknown }]);
  });

  test('an event that is missing from the middle of a stream', async () => {
    const shop = await open(script());
    const stream = shop.events.payment.streams.get(`payment-${ids.completed}`)!;
    const [gone] = stream.splice(2, 1);
    const { all, appendEnds } = shop.events.payment;
    all.splice(all.indexOf(gone!), 1);
    all.forEach((event, i) => (all[i] = { ...event, position: BigInt(i + 1) }));
    appendEnds.pop();
    expect(await findingsIn(shop)).toContainEqual({
      kind: 'broken-stream',
      orderId: ids.completed,
      books: [`payment-${ids.completed}`],
      message: `Order ${ids.completed}: payment-${ids.completed} lacks event 2, before its PaymentCaptured.`,
    });
  });
});

describe('read models', () => {
  test('a column that was changed', async () => {
    const shop = await open(script());
    const { projection } = allReadModels.find(({ projection }) => projection.table === 'order_summary')!;
    const [row] = await shop.tables.order.load(projection, [{ order_id: ids.completed }]);
    await shop.setRow('order_summary', ids.completed, { ...row!, status: 'placed' });
    expect(await findingsIn(shop)).toEqual([
      {
        kind: 'row-differs',
        orderId: ids.completed,
        books: ['order_summary', `order-${ids.completed}`],
        message: `Order ${ids.completed}: order_summary says status "placed", but order-${ids.completed} gives status "completed".`,
      },
    ]);
  });

  test.each([
    ['order_summary', ids.completed],
    ['order_todo', ids.open],
    ['reservation_summary', ids.short],
    ['stock_hold', ids.open],
    ['payment_summary', ids.declined],
    ['payment_todo', ids.open],
    ['stock_level', 'oil'],
    ['price_list', 'oil'],
  ])('a row of %s that is missing', async (table, key) => {
    const shop = await open(script());
    await shop.setRow(table, key, undefined);
    const findings = await findingsIn(shop);
    expect(findings).toMatchObject([{ kind: 'row-missing', books: [table, expect.stringContaining(key)] }]);
    expect(findings[0]!.orderId ?? findings[0]!.sku).toBe(key);
  });

  test.each([
    ['order_todo', ids.completed, { order_id: ids.completed, due_at: '2026-11-21T12:00:00.000Z' }],
    ['stock_hold', ids.completed, { order_id: ids.completed, held_since: '2026-11-21T12:00:00.000Z' }],
    ['money_hold', ids.completed, { order_id: ids.completed, held_since: '2026-11-21T12:00:00.000Z' }],
    ['payment_summary', ids.short, { order_id: ids.short, status: 'captured' }],
    ['stock_level', 'gold', { sku: 'gold', available: 1, reserved: 0, shipped: 0 }],
  ])('a row of %s that is too many', async (table, key, row) => {
    const shop = await open(script());
    await shop.setRow(table, key, row);
    const findings = await findingsIn(shop);
    expect(findings).toMatchObject([{ kind: 'row-too-many', books: [table, expect.stringContaining(key)] }]);
  });

  test('a row of an order that nobody knows', async () => {
    const shop = await open(script());
    await shop.setRow('payment_summary', unknown, { order_id: unknown, status: 'captured' });
    expect(await findingsIn(shop)).toMatchObject([
      { kind: 'order-without-stream', orderId: unknown, books: [`order-${unknown}`, 'payment_summary'] },
    ]);
  });

  test('one that lags is not wrong, but one that stands still is told', async () => {
    const written = script();
    const shop = await open(written);
    const store = new MemoryEventStore(clock, shop.events.order);
    const metadata = { correlationId: 'c', causationId: 'c', schema: 1 };
    const event = { id: unknown, type: 'OrderCancelled', data: { reason: 'customer' }, metadata };
    await store.append([{ stream: `order-${ids.open}`, expected: 1, events: [event] }]);
    const price = { id: unknown, type: 'PriceSet', data: { amountMinor: 1, currency: 'EUR' }, metadata };
    await store.append([{ stream: 'price-oil', expected: 0, events: [price] }]);
    const findings = await findingsIn(shop);
    expect(findings.map(({ kind, books }) => [kind, books[0]])).toEqual([
      ['read-model-behind', 'order_summary'],
      ['read-model-behind', 'price_list'],
      ['read-model-behind', 'order_todo'],
    ]);
  });
});

test('what is made good before the second look is not told', async () => {
  const written = script();
  written.ledger.splice(4, 1);
  const { books, ledger } = await open(written);
  const sleeps = {
    now: () => clock.now(),
    monotonicMs: () => clock.monotonicMs(),
    sleep: async () => void (await late()),
  };
  const late = () =>
    ledger.change(ids.cancelled, clock.now(), () => ({ payment: undefined, entries: [voided], answer: undefined }));
  expect(await all(reconcile(books, { clock: sleeps }))).toEqual([]);
});

describe('more orders than are kept in memory', () => {
  /** Orders that found no stock, and whose reservations were recorded long before, or after, the orders themselves. */
  async function many(inventoryAt: string, damage?: (written: Script) => void) {
    const orderIds = Array.from({ length: 5_000 }, (_, i) => `00000000-0000-4000-9000-${`${i}`.padStart(12, '0')}`);
    const rejected: OrderEvent = { type: 'OrderRejected', data: { reason: 'out-of-stock', short: ['oil'] } };
    const written: Script = {
      order: orderIds.flatMap((orderId) => ordered(orderId, placed, rejected, settled)),
      inventory: orderIds.map((id) => [
        [`reservation-${id}`, { type: 'ReservationRejected', data: { short: ['oil'] } }],
      ]),
      payment: [],
      ledger: [],
    };
    damage?.(written);
    return { orderIds, shop: await open(written, { inventory: new ManualClock(inventoryAt) }) };
  }

  test.each(['2020-01-01T00:00:00.000Z', '2080-01-01T00:00:00.000Z'])(
    'are put together, although a service wrote its part of them all at %s',
    async (inventoryAt) => expect(await findingsIn((await many(inventoryAt)).shop)).toEqual([]),
  );

  test('are all looked at, whichever of them is damaged', async () => {
    const gone = [0, 1_700, 4_999];
    const { orderIds, shop } = await many('2080-01-01T00:00:00.000Z', ({ inventory }) =>
      gone.toReversed().forEach((i) => inventory.splice(i, 1)),
    );
    const findings = await findingsIn(shop);
    expect(findings.map(({ kind, orderId }) => `${kind} ${orderId}`).sort()).toEqual(
      gone.map((i) => `reservation-missing ${orderIds[i]}`),
    );
  });
});

test('two books with the same ids have the same roll, in whatever order; one id more is found', () => {
  const [one, other] = [new Roll(), new Roll()];
  const many = Array.from({ length: 1_000 }, (_, i) => `id-${i}`);
  many.forEach((id) => one.add(id));
  many.toReversed().forEach((id) => other.add(id));
  expect(one.equals(other)).toBe(true);
  other.add('another');
  expect(one.equals(other)).toBe(false);
  expect(['another', ...many].filter((id) => one.differsAt(other, id))[0]).toBe('another');
});

test.each([
  [2598, 'EUR', 'EUR 25.98'],
  [300, 'JPY', 'JPY 300'],
  [5, 'euro', '5 minor units of euro'],
])('%i minor units of %s are %s', (amount, currency, text) =>
  expect(formatMoney({ amountMinor: amount, currency })).toBe(text),
);

describe('the command', () => {
  async function command(shop: Shop, argv: string[], isTTY = false) {
    const written = { stdout: '', stderr: '' };
    const stream = (name: keyof typeof written) => ({ isTTY, write: (text: string) => (written[name] += text) });
    const opened = async () => ({ books: shop.books, close: async () => {} });
    const code = await run(argv, opened, { stdout: stream('stdout'), stderr: stream('stderr') });
    return { code, ...written };
  }

  test('a healthy shop is answered with silence', async () => {
    expect(await command(await open(script()), [])).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  test('on a terminal there is a bar, and what came of it', async () => {
    const { code, stdout, stderr } = await command(await open(script()), [], true);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toMatch(/\[█+·*\] \d+ %, \d orders?, .*\r\x1b\[K6 orders: everything agrees\.\n$/);
  });

  test('what disagrees is told in words, or as lines of JSON', async () => {
    const written = script();
    written.ledger.push([unknown, auth(100)], [ids.completed, { ...capture, heldMinor: 0 }]);
    const shop = await open(written);
    const words = await command(shop, []);
    expect(words.code).toBe(1);
    expect(words.stdout.trimEnd().split('\n')).toHaveLength(2);
    const json = await command(shop, ['--json']);
    const findings = json.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(Object.fromEntries(findings.map(({ kind, orderId }) => [kind, orderId]))).toEqual({
      'double-capture': ids.completed,
      'ledger-without-order': unknown,
    });
    expect(findings.map(({ message }) => message).join('\n')).toBe(words.stdout.trimEnd());
  });

  test.each([['--help'], ['--json', '--json'], ['order']])(
    'wrong flags are answered by those that there are: %s',
    async (...argv) => {
      const { code, stdout, stderr } = await command(await open(script()), argv);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toMatch(/^Usage: npm run reconcile \[-- --json\]\. .*\n$/);
    },
  );

  test('books that cannot be read are not called healthy', async () => {
    const { books } = await open(script());
    const broken = { ...books, ledger: { entries: () => Promise.reject(new Error('The ledger is closed.')) } };
    const shop = { books: broken } as unknown as Shop;
    expect(await command(shop, [])).toEqual({
      code: 69,
      stdout: '',
      stderr: 'The books could not be compared. The ledger is closed.\n',
    });
  });
});
