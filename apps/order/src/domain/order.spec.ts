import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DomainError, stateAfter } from '#decider';
import { given } from '#decider/scenario';
import { eventsOf, goldenEvents, goldenShapes, shapesOf } from '#test/golden';
import { upcasters } from '../upcasters.js';
import { isSettled, order, type OrderCommand, type OrderEvent, type Want } from './order.js';

const golden = await goldenEvents<OrderEvent>(new URL('../golden/', import.meta.url), upcasters);

const eur = (amountMinor: number) => ({ amountMinor, currency: 'EUR' });
const oil = { sku: 'olive-oil', quantity: 2, unitPrice: eur(1299) };
const salt = { sku: 'sea-salt', quantity: 1, unitPrice: eur(450) };

const place = {
  type: 'Place',
  customerId: '7c1b0f0e-7a52-4c3e-9a54-0c6a2c1f7b11',
  lines: [oil, salt],
  paymentToken: 'sealed',
  tokenDigest: 'digest',
  placedAt: '2026-11-21T12:00:00.000Z',
  deadlineAt: '2026-11-21T12:15:00.000Z',
} as const satisfies OrderCommand;
const { type: _, ...request } = place;
const terms = { ...request, total: eur(3048) };
const placed: OrderEvent = { type: 'OrderPlaced', data: terms };

const stockReserved: OrderEvent = {
  type: 'OrderStockReserved',
  data: { total: terms.total, paymentToken: terms.paymentToken, customerId: terms.customerId },
};
const confirmed: OrderEvent = { type: 'OrderConfirmed', data: {} };
const shipped: OrderEvent = { type: 'OrderStockShipped', data: {} };
const captured: OrderEvent = { type: 'OrderPaymentCaptured', data: {} };
const completed: OrderEvent = { type: 'OrderCompleted', data: {} };
const outOfStock: OrderEvent = { type: 'OrderRejected', data: { reason: 'out-of-stock', short: ['sea-salt'] } };
const declined: OrderEvent = { type: 'OrderRejected', data: { reason: 'payment-declined', detail: 'declined' } };
const cancelled: OrderEvent = { type: 'OrderCancelled', data: { reason: 'customer' } };
const expired: OrderEvent = { type: 'OrderCancelled', data: { reason: 'deadline' } };
const calledOff: OrderEvent = { type: 'OrderCancelled', data: { reason: 'operator' } };
const { total, paymentToken, customerId } = terms;
const reminded = (wants: Want, attempt = 1, more: { refusalsKnown?: number; retry?: true } = {}): OrderEvent => ({
  type: 'OrderReminded',
  data: {
    attempt,
    wants,
    lines: terms.lines,
    total,
    paymentToken,
    ...(wants === 'payment' && { customerId }),
    ...more,
  },
});
const retried = (wants: Want, attempt = 1) => reminded(wants, attempt, { retry: true });
const captureRefused: OrderEvent = { type: 'OrderPaymentRefused', data: { step: 'capture', reason: 'expired' } };
const captureRefusedAgain: OrderEvent = {
  type: 'OrderPaymentRefused',
  data: { step: 'capture', reason: 'expired', number: 2 },
};
const refundRefused: OrderEvent = { type: 'OrderPaymentRefused', data: { step: 'refund', reason: 'closed' } };
const released: OrderEvent = { type: 'OrderStockReleased', data: { outcome: 'released' } };
const noStockHeld: OrderEvent = { type: 'OrderStockReleased', data: { outcome: 'nothing-held' } };
const voided: OrderEvent = { type: 'OrderPaymentReturned', data: { outcome: 'voided' } };
const refunded: OrderEvent = { type: 'OrderPaymentReturned', data: { outcome: 'refunded' } };
const noMoneyHeld: OrderEvent = { type: 'OrderPaymentReturned', data: { outcome: 'nothing-held' } };
const settled: OrderEvent = { type: 'OrderSettled', data: {} };

const commands = {
  Place: place,
  Cancel: { type: 'Cancel' },
  Expire: { type: 'Expire', now: place.deadlineAt },
  StockReserved: { type: 'RecordStockReserved' },
  StockRejected: { type: 'RecordStockRejected', short: ['sea-salt'] },
  StockReleased: { type: 'RecordStockReleased', outcome: 'released' },
  StockShipped: { type: 'RecordStockShipped' },
  PaymentAuthorized: { type: 'RecordPaymentAuthorized', amount: terms.total },
  PaymentDeclined: { type: 'RecordPaymentDeclined', reason: 'declined' },
  PaymentCaptured: { type: 'RecordPaymentCaptured' },
  PaymentVoided: { type: 'RecordPaymentReturned', outcome: 'voided' },
  PaymentRefunded: { type: 'RecordPaymentReturned', outcome: 'refunded' },
  NoMoneyHeld: { type: 'RecordPaymentReturned', outcome: 'nothing-held' },
  CallOff: { type: 'CallOff' },
  Remind: { type: 'Remind', attempt: 1 },
  Retry: { type: 'Remind' },
  CaptureRefused: { type: 'RecordPaymentRefused', step: 'capture', reason: 'expired', number: 1 },
  CaptureRefusedAgain: { type: 'RecordPaymentRefused', step: 'capture', reason: 'expired', number: 2 },
  RefundRefused: { type: 'RecordPaymentRefused', step: 'refund', reason: 'closed', number: 1 },
} as const satisfies Record<string, OrderCommand>;

type Answers = Partial<Record<keyof typeof commands, readonly OrderEvent[] | string>>;

/** Every state of the machine: how an order gets there, and each command that has an effect on it. */
const machine: Record<string, { history: OrderEvent[]; answers: Answers }> = {
  placed: {
    history: [placed],
    answers: {
      CallOff: [calledOff],
      Remind: [reminded('stock')],
      Retry: [retried('stock')],
      Cancel: [cancelled],
      Expire: [expired],
      StockReserved: [stockReserved],
      StockRejected: [outOfStock, settled],
    },
  },
  'stock-reserved': {
    history: [placed, stockReserved],
    answers: {
      CallOff: [calledOff],
      Remind: [reminded('payment')],
      Retry: [retried('payment')],
      Cancel: [cancelled],
      Expire: [expired],
      PaymentAuthorized: [confirmed],
      PaymentDeclined: [declined],
    },
  },
  confirmed: {
    history: [placed, stockReserved, confirmed],
    answers: {
      CallOff: [calledOff],
      Remind: [reminded('fulfilment')],
      Retry: [retried('fulfilment')],
      CaptureRefused: [captureRefused],
      CaptureRefusedAgain: [captureRefusedAgain],
      Cancel: 'order-confirmed',
      StockShipped: [shipped],
      PaymentCaptured: [captured],
    },
  },
  'confirmed, shipped': {
    history: [placed, stockReserved, confirmed, shipped],
    answers: {
      CallOff: [calledOff],
      Remind: [reminded('fulfilment')],
      Retry: [retried('fulfilment')],
      CaptureRefused: [captureRefused],
      CaptureRefusedAgain: [captureRefusedAgain],
      Cancel: 'order-confirmed',
      PaymentCaptured: [captured, completed],
    },
  },
  'confirmed, captured': {
    history: [placed, stockReserved, confirmed, captured],
    answers: {
      CallOff: [calledOff],
      Remind: [reminded('fulfilment')],
      Retry: [retried('fulfilment')],
      Cancel: 'order-confirmed',
      StockShipped: [shipped, completed],
    },
  },
  completed: {
    history: [placed, stockReserved, confirmed, shipped, captured, completed],
    answers: { Retry: 'nothing-to-retry', CallOff: 'order-completed', Cancel: 'order-confirmed' },
  },
  'called off by an operator after the pivot': {
    history: [placed, stockReserved, confirmed, shipped, calledOff],
    answers: {
      StockReleased: [released],
      StockRejected: [noStockHeld],
      PaymentDeclined: [noMoneyHeld],
      PaymentVoided: [voided],
      PaymentRefunded: [refunded],
      NoMoneyHeld: [noMoneyHeld],
      Remind: [reminded('return')],
      Retry: [retried('return')],
      RefundRefused: [refundRefused],
    },
  },
  'rejected, out of stock': {
    history: [placed, outOfStock, settled],
    answers: {
      RefundRefused: [refundRefused],
      Retry: 'nothing-to-retry',
      CallOff: 'order-off',
      PaymentVoided: [voided],
      PaymentRefunded: [refunded],
    },
  },
  'rejected, declined': {
    history: [placed, stockReserved, declined],
    answers: {
      RefundRefused: [refundRefused],
      CallOff: 'order-off',
      Remind: [reminded('return')],
      Retry: [retried('return')],
      StockReleased: [released, settled],
      StockRejected: [noStockHeld, settled],
      PaymentVoided: [voided],
      PaymentRefunded: [refunded],
    },
  },
  'rejected, declined, settled': {
    history: [placed, stockReserved, declined, released, settled],
    answers: {
      RefundRefused: [refundRefused],
      Retry: 'nothing-to-retry',
      CallOff: 'order-off',
      PaymentVoided: [voided],
      PaymentRefunded: [refunded],
    },
  },
  'cancelled before stock was reserved': {
    history: [placed, cancelled],
    answers: {
      RefundRefused: [refundRefused],
      CallOff: 'order-off',
      Remind: [reminded('return')],
      Retry: [retried('return')],
      StockReleased: [released, settled],
      StockRejected: [noStockHeld, settled],
      PaymentVoided: [voided],
      PaymentRefunded: [refunded],
    },
  },
  'cancelled while payment was asked for': {
    history: [placed, stockReserved, cancelled],
    answers: {
      CallOff: 'order-off',
      Remind: [reminded('return')],
      Retry: [retried('return')],
      RefundRefused: [refundRefused],
      StockReleased: [released],
      StockRejected: [noStockHeld],
      PaymentDeclined: [noMoneyHeld],
      PaymentVoided: [voided],
      PaymentRefunded: [refunded],
      NoMoneyHeld: [noMoneyHeld],
    },
  },
  'cancelled, its stock released': {
    history: [placed, stockReserved, cancelled, released],
    answers: {
      CallOff: 'order-off',
      Remind: [reminded('return')],
      Retry: [retried('return')],
      RefundRefused: [refundRefused],
      PaymentDeclined: [noMoneyHeld, settled],
      PaymentVoided: [voided, settled],
      PaymentRefunded: [refunded, settled],
      NoMoneyHeld: [noMoneyHeld, settled],
    },
  },
  'cancelled, its money returned': {
    history: [placed, stockReserved, cancelled, voided],
    answers: {
      RefundRefused: [refundRefused],
      CallOff: 'order-off',
      Remind: [reminded('return')],
      Retry: [retried('return')],
      StockReleased: [released, settled],
      StockRejected: [noStockHeld, settled],
    },
  },
  'cancelled, settled': {
    history: [placed, stockReserved, cancelled, released, voided, settled],
    answers: { RefundRefused: [refundRefused], Retry: 'nothing-to-retry', CallOff: 'order-off' },
  },
  'cancelled, settled, when no money was held': {
    history: [placed, stockReserved, cancelled, released, noMoneyHeld, settled],
    answers: {
      RefundRefused: [refundRefused],
      Retry: 'nothing-to-retry',
      CallOff: 'order-off',
      PaymentVoided: [voided],
      PaymentRefunded: [refunded],
    },
  },
};

describe.each(Object.entries(machine))('%s', (_state, { history, answers }) => {
  test.each(Object.keys(commands) as (keyof typeof commands)[])('%s', (name) => {
    const { then, thenRefused } = given(order, ...history).when(commands[name]);
    const answer = answers[name] ?? [];
    return typeof answer === 'string' ? thenRefused(answer) : then(...answer);
  });
});

test('an order is placed with the sum of its lines as its total', () => given(order).when(place).then(placed));

test('the same order again is the same order, even when prices have changed since', () =>
  given(order, placed)
    .when({ ...place, lines: [{ ...oil, unitPrice: eur(1399) }, salt], placedAt: '2026-11-21T12:01:00.000Z' })
    .thenNothing());

test('the same lines in another order are the same order', () =>
  given(order, placed)
    .when({ ...place, lines: [salt, oil] })
    .thenNothing());

test('the same order again is the same order, even when it is no longer sold', () =>
  given(order, placed)
    .when({ ...place, lines: [{ ...oil, unitPrice: undefined }, salt] })
    .thenNothing());

test('an order with the total that its customer expects is placed, and again it is the same order', () => {
  const expecting = { ...place, expectedTotal: eur(3048) };
  given(order).when(expecting).then(placed);
  given(order, placed)
    .when({ ...expecting, lines: [{ ...oil, unitPrice: eur(1399) }, salt] })
    .thenNothing();
});

test.each([
  ['amount', eur(3047)],
  ['currency', { amountMinor: 3048, currency: 'CHF' }],
])('an order whose total has another %s than its customer expects is refused, with the total', (_name, expectedTotal) =>
  expect(() => order.decide({ ...place, expectedTotal }, order.initialState)).toThrow(
    expect.objectContaining({ code: 'price-changed', details: { total: eur(3048) } }),
  ),
);

test.each([
  ['another expected total', { ...place, expectedTotal: eur(1) }],
  ['another quantity', { ...place, lines: [{ ...oil, quantity: 3 }, salt] }],
  ['another line', { ...place, lines: [oil] }],
  ['another means of payment', { ...place, tokenDigest: 'another digest' }],
  ['a recipient, where there was none', { ...place, recipient: 'sealed', recipientDigest: 'digest' }],
  ['another means of payment under either secret', { ...place, tokenDigest: 'another', olderDigests: ['one more'] }],
])('the same key with %s is refused', (_name, other) =>
  given(order, placed).when(other).thenRefused('idempotency-key-reused'),
);

test.each([
  ['sealed anew, which is another text each time', { ...place, paymentToken: 'sealed again' }],
  ['under another secret', { ...place, tokenDigest: 'digest under the new one', olderDigests: ['digest'] }],
])('the same key with the same token is the same order: %s', (_name, again) =>
  given(order, placed).when(again).thenNothing(),
);

test('an order is sent to whom it names: with another recipient, or none, the same key is refused', () => {
  const sent = { ...place, recipient: 'sealed', recipientDigest: 'digest of Ada' };
  const { type: _type, ...data } = sent;
  const before: OrderEvent = { type: 'OrderPlaced', data: { ...data, total: terms.total } };
  given(order).when(sent).then(before);
  given(order, before)
    .when({ ...sent, recipient: 'sealed again' })
    .thenNothing();
  given(order, before)
    .when({ ...sent, recipientDigest: 'digest of Bob' })
    .thenRefused('idempotency-key-reused');
  given(order, before).when(place).thenRefused('idempotency-key-reused');
});

test('an order from before tokens were sealed knows a repeated request by the token itself', async () => {
  const { data } = golden['OrderPlaced.v1'] as Extract<OrderEvent, { type: 'OrderPlaced' }>;
  const again = { ...place, ...data, type: 'Place', paymentToken: 'sealed', tokenDigest: 'digest' } as const;
  const before = given(order, { type: 'OrderPlaced', data });
  before.when({ ...again, olderDigests: ['tok_approved'] }).thenNothing();
  before.when({ ...again, olderDigests: ['tok_declined'] }).thenRefused('idempotency-key-reused');
});

test.each([
  ['no line', 'no-lines', []],
  ['a SKU without a price', 'unknown-sku', [{ ...oil, unitPrice: undefined }]],
  ['two lines for one SKU', 'duplicate-sku', [oil, oil]],
  ['two currencies', 'mixed-currencies', [oil, { ...salt, unitPrice: { amountMinor: 450, currency: 'CHF' } }]],
  ['a total that cannot be counted', 'total-out-of-range', [{ ...oil, quantity: Number.MAX_SAFE_INTEGER }]],
  ...[0, -1, 1.5, Number.NaN].map(
    (quantity) => [`a quantity of ${quantity}`, 'invalid-quantity', [{ ...oil, quantity }]] as const,
  ),
] as const)('an order with %s is refused', (_name, code, lines) =>
  given(order)
    .when({ ...place, lines })
    .thenRefused(code),
);

test.each(Object.entries(commands).filter(([name]) => name !== 'Place'))(
  '%s: there is no such order',
  (_name, command) => given(order).when(command).thenRefused('order-not-found'),
);

test('an order does not expire before its deadline', () =>
  given(order, placed).when({ type: 'Expire', now: '2026-11-21T12:14:59.999Z' }).thenNothing());

test('money that arrives after all is in the history of the order once, though it was settled', () => {
  const history = [placed, stockReserved, cancelled, released, noMoneyHeld, settled];
  given(order, ...history)
    .when(commands.PaymentVoided)
    .then(voided);
  given(order, ...history, voided)
    .when(commands.PaymentVoided)
    .thenNothing();
});

test('a reminder is sent once, and the next one has the next number', () => {
  given(order, placed, reminded('stock')).when({ type: 'Remind', attempt: 1 }).thenNothing();
  given(order, placed, reminded('stock')).when({ type: 'Remind', attempt: 2 }).then(reminded('stock', 2));
  given(order, placed, reminded('stock'), stockReserved)
    .when({ type: 'Remind', attempt: 1 })
    .then(reminded('payment', 1));
});

test('a person may retry at any time, as long as the order waits for something', () => {
  given(order, placed, stockReserved, confirmed, reminded('fulfilment'))
    .when({ type: 'Remind' })
    .then(retried('fulfilment', 2));
  given(order, ...machine['completed']!.history)
    .when({ type: 'Remind' })
    .thenRefused('nothing-to-retry');
  given(order, ...machine['cancelled, settled']!.history)
    .when({ type: 'Remind' })
    .thenRefused('nothing-to-retry');
});

test('the same retry again changes nothing, until the provider refuses again or the watchdog has sent a reminder', () => {
  const waiting = [placed, stockReserved, confirmed, retried('fulfilment')];
  given(order, ...waiting)
    .when({ type: 'Remind' })
    .thenNothing();
  given(order, ...waiting, shipped)
    .when({ type: 'Remind' })
    .thenNothing();
  given(order, ...waiting, captureRefused)
    .when({ type: 'Remind' })
    .then(reminded('fulfilment', 2, { refusalsKnown: 1, retry: true }));
  given(order, ...waiting, reminded('fulfilment', 2))
    .when({ type: 'Remind' })
    .then(retried('fulfilment', 3));
  given(order, ...waiting, calledOff)
    .when({ type: 'Remind' })
    .then(retried('return'));
});

test('a refusal is recorded once: told again, also after a retry, it is old news, and only another one is new', () => {
  const refused: OrderEvent[] = [placed, stockReserved, confirmed, captureRefused];
  const refusedTwice = [...refused, reminded('fulfilment', 1, { refusalsKnown: 1, retry: true }), captureRefusedAgain];
  for (const history of [refused, [...refused, reminded('fulfilment')], refusedTwice]) {
    given(order, ...history)
      .when(commands.CaptureRefused)
      .thenNothing();
  }
  given(order, ...refused, reminded('fulfilment'))
    .when(commands.CaptureRefusedAgain)
    .then(captureRefusedAgain);
  given(order, ...refusedTwice)
    .when({ type: 'Remind' })
    .then(reminded('fulfilment', 2, { refusalsKnown: 2, retry: true }));
  given(order, ...refused)
    .when(commands.PaymentCaptured)
    .then(captured);
});

test('what was refused waits for a person: a watchdog that has not heard of it sends no reminder', () => {
  given(order, placed, stockReserved, confirmed, captureRefused).when(commands.Remind).thenNothing();
  given(order, placed, stockReserved, confirmed, captureRefused, calledOff)
    .when(commands.Remind)
    .then(reminded('return', 1, { refusalsKnown: 1 }));
});

test('what was refused stays known when the order is called off, and its reminders say so', () => {
  const history = [placed, stockReserved, confirmed, captureRefused, calledOff];
  given(order, ...history)
    .when(commands.Remind)
    .then(reminded('return', 1, { refusalsKnown: 1 }));
  given(order, ...history)
    .when(commands.RefundRefused)
    .thenNothing();
});

test('a refused refund is not money that came back: the order is no longer settled, until the money is refunded', () => {
  for (const history of [
    machine['cancelled, settled, when no money was held']!.history,
    machine['cancelled, settled']!.history,
  ]) {
    given(order, ...history)
      .when(commands.RefundRefused)
      .then(refundRefused);
    const refused = [...history, refundRefused];
    expect(isSettled(refused.reduce(order.evolve, order.initialState))).toBe(false);
    given(order, ...refused)
      .when({ type: 'Remind' })
      .then(reminded('return', 1, { refusalsKnown: 1, retry: true }));
    given(order, ...refused)
      .when(commands.PaymentRefunded)
      .then(refunded, settled);
  }
  given(order, placed, stockReserved, cancelled, released, refunded, settled)
    .when(commands.RefundRefused)
    .thenNothing();
});

const anyCommands = fc.array(fc.constantFrom(...Object.values(commands)), { maxLength: 15 });

test('whatever other services report, in any order, twice or late, an order ends at most once and is settled when its events say so', () => {
  fc.assert(
    fc.property(anyCommands, (commands) => {
      let state = order.initialState;
      const history: OrderEvent[] = [];
      for (const command of [place, ...commands]) {
        const events = attempt(command, state);
        history.push(...events);
        state = events.reduce(order.evolve, state);
        expect(attempt(command, state), 'a retry is an answer').toEqual([]);
        const ends = history.filter(({ type }) => /OrderCompleted|OrderRejected|OrderCancelled/.test(type));
        expect(ends.length).toBeLessThanOrEqual(1);
        // Money that arrives late and cannot be refunded is held again, so the order is settled once more.
        const settlements = history.filter(({ type }) => type === 'OrderCompleted' || type === 'OrderSettled').length;
        const late = history.filter(({ type }, i) => type === 'OrderPaymentRefused' && wasSettled(history.slice(0, i)));
        expect(settlements - late.length).toBe(isSettled(state) ? 1 : 0);
      }
    }),
    { numRuns: 500 },
  );
});

test('a called-off order is settled by the answers of the other services, in whatever order they come', () => {
  const answersTo = {
    'cancelled before stock was reserved': [['StockReleased'], ['StockRejected']],
    'cancelled while payment was asked for': [
      ['StockReleased', 'PaymentVoided'],
      ['StockReleased', 'NoMoneyHeld'],
      ['StockReleased', 'PaymentDeclined'],
    ],
    'rejected, declined': [['StockReleased']],
  } as const;
  for (const [state, alternatives] of Object.entries(answersTo)) {
    for (const answers of alternatives) {
      for (const reports of [answers, answers.toReversed()]) {
        const end = reports
          .map((name) => commands[name])
          .reduce(
            (s, command) => order.decide(command, s).reduce(order.evolve, s),
            machine[state]!.history.reduce(order.evolve, order.initialState),
          );
        expect(isSettled(end), `${state}: ${reports.join(', ')}`).toBe(true);
      }
    }
  }
});

function wasSettled(history: readonly OrderEvent[]): boolean {
  return isSettled(history.reduce(order.evolve, order.initialState));
}

function attempt(command: OrderCommand, state: ReturnType<typeof order.evolve>): readonly OrderEvent[] {
  try {
    return order.decide(command, state);
  } catch (error) {
    if (error instanceof DomainError) return [];
    throw error;
  }
}

const other = { amountMinor: 1, currency: 'EUR' };
const moved: OrderEvent = { type: 'OrderPaymentMoved', data: { how: 'refunded', amount: total } };
const accepted: OrderEvent = { type: 'OrderPaymentMoveAccepted', data: {} };
const declinedForOtherSum: OrderEvent = {
  type: 'OrderRejected',
  data: { reason: 'payment-declined', detail: 'amount-mismatch', held: other },
};
const confirmedForNothing: OrderEvent = { type: 'OrderConfirmed', data: { nothingToPay: true } };
const free: OrderEvent = {
  ...placed,
  data: { ...terms, lines: [{ ...oil, unitPrice: eur(0) }], total: eur(0) },
};

describe('what the payment provider says is not what was asked for', () => {
  test('a hold of another sum does not confirm an order', () => {
    for (const amount of [other, { ...total, amountMinor: total.amountMinor + 1 }, { ...total, currency: 'JPY' }]) {
      given(order, placed, stockReserved).when({ type: 'RecordPaymentAuthorized', amount }).thenNothing();
    }
  });

  test('an order that was declined for another sum is settled when that has gone back', () => {
    given(order, placed, stockReserved)
      .when({ type: 'RecordPaymentDeclined', reason: 'amount-mismatch', held: other })
      .then(declinedForOtherSum);
    given(order, placed, stockReserved, declinedForOtherSum).when(commands.StockReleased).then(released);
    given(order, placed, stockReserved, declinedForOtherSum, released)
      .when(commands.PaymentVoided)
      .then(voided, settled);
    given(order, placed, stockReserved, cancelled)
      .when({ type: 'RecordPaymentDeclined', reason: 'amount-mismatch', held: other })
      .thenNothing();
  });

  test('what the provider does by itself is recorded once, and is a question until a person accepts it', () => {
    const done = [placed, stockReserved, confirmed, shipped, captured, completed];
    const move: OrderCommand = { type: 'RecordPaymentMoved', how: 'refunded', amount: total };
    given(order, ...done)
      .when(move)
      .then(moved);
    given(order, ...done, moved)
      .when(move)
      .thenNothing();
    given(order, ...done, moved)
      .when({ type: 'RecordPaymentMoved', how: 'refunded', amount: other })
      .thenNothing();
    given(order, ...done, moved)
      .when({ type: 'Accept' })
      .then(accepted);
    given(order, ...done, moved, accepted)
      .when({ type: 'Accept' })
      .thenNothing();
    given(order, ...done, moved, accepted)
      .when(move)
      .thenNothing();
    given(order, ...done)
      .when({ type: 'Accept' })
      .thenRefused('nothing-to-accept');
    expect(isSettled([...done, moved].reduce(order.evolve, order.initialState))).toBe(true);
  });

  test('it stays a question when the order is completed, or called off', () => {
    const questionAfter = (...events: OrderEvent[]) => {
      const state = [placed, stockReserved, confirmed, moved, ...events].reduce(order.evolve, order.initialState);
      return 'question' in state;
    };
    expect(questionAfter(shipped, captured, completed)).toBe(true);
    expect(questionAfter(calledOff)).toBe(true);
    expect(questionAfter(calledOff, voided)).toBe(false);
  });

  test('money that came to an order that was off is no question any more when it has gone back', () => {
    const taken: OrderEvent = { type: 'OrderPaymentMoved', data: { how: 'captured', amount: total } };
    const back: OrderEvent = { type: 'OrderPaymentReturned', data: { outcome: 'refunded' } };
    const off = [placed, stockReserved, declined, released, settled, taken];
    given(order, ...off)
      .when({ type: 'RecordPaymentReturned', outcome: 'refunded' })
      .then(back);
    given(order, ...off, refundRefused)
      .when({ type: 'RecordPaymentReturned', outcome: 'refunded' })
      .then(back, settled);
    expect('question' in [...off, back].reduce(order.evolve, order.initialState)).toBe(false);
  });

  test('an order of nothing is confirmed with its stock, and completed when it is shipped', () => {
    given(order, free).when(commands.StockReserved).then(confirmedForNothing);
    given(order, free, confirmedForNothing).when(commands.StockShipped).then(shipped, completed);
  });
});

test('its events have the shapes of its golden files, and no others', () => {
  const place: OrderCommand = {
    type: 'Place',
    customerId: 'c1',
    lines: [{ sku: 'olive-oil', quantity: 1, unitPrice: { amountMinor: 1299, currency: 'EUR' } }],
    paymentToken: 'sealed',
    tokenDigest: 'digest',
    placedAt: '2026-11-21T12:00:00.000Z',
    deadlineAt: '2026-11-21T12:15:00.000Z',
  };
  const reserved: OrderCommand = { type: 'RecordStockReserved' };
  const total = { amountMinor: 1299, currency: 'EUR' };
  const free = { ...place, lines: [{ ...place.lines[0]!, unitPrice: { ...total, amountMinor: 0 } }] };
  const today = [
    golden['OrderStockReserved.v1']!, // Of before orders said whose payment it is.
    ...eventsOf(order, place, reserved, { type: 'Remind', attempt: 1 }, { type: 'Remind' }),
    ...eventsOf(
      order,
      place,
      reserved,
      { type: 'RecordPaymentAuthorized', amount: total },
      { type: 'RecordStockShipped' },
      { type: 'RecordPaymentCaptured' },
    ),
    ...eventsOf(
      order,
      place,
      reserved,
      { type: 'RecordPaymentAuthorized', amount: total },
      { type: 'Remind', attempt: 1 },
      { type: 'Remind' },
      { type: 'RecordPaymentRefused', step: 'capture', reason: 'refused-by-issuer', number: 1 },
      { type: 'Remind' },
      { type: 'Remind', attempt: 4 },
      { type: 'RecordPaymentRefused', step: 'capture', reason: 'refused-by-issuer', number: 2 },
    ),
    ...eventsOf(
      order,
      place,
      reserved,
      { type: 'RecordPaymentAuthorized', amount: total },
      { type: 'RecordPaymentRefused', step: 'capture', reason: 'amount-mismatch', moved: total, number: 1 },
      { type: 'RecordPaymentRefused', step: 'capture', reason: 'amount-mismatch', moved: total, number: 2 },
      { type: 'RecordPaymentMoved', how: 'refunded', amount: total },
      { type: 'Accept' },
    ),
    ...eventsOf(order, { ...place, recipient: 'sealed', recipientDigest: 'digest' }),
    ...eventsOf(order, free, reserved),
    ...eventsOf(order, place, reserved, { type: 'RecordPaymentDeclined', reason: 'amount-mismatch', held: total }),
    ...eventsOf(order, place, { type: 'RecordStockRejected', short: ['olive-oil'] }),
    ...eventsOf(order, place, reserved, { type: 'RecordPaymentDeclined', reason: 'declined' }),
    ...eventsOf(
      order,
      place,
      reserved,
      { type: 'Cancel' },
      { type: 'RecordStockReleased', outcome: 'released' },
      { type: 'RecordPaymentReturned', outcome: 'voided' },
    ),
  ];
  expect(shapesOf(today)).toEqual(goldenShapes('order', golden));
});

test.each([
  ['completed', 'OrderPlaced OrderStockReserved OrderConfirmed OrderStockShipped OrderPaymentCaptured OrderCompleted'],
  ['rejected', 'OrderPlaced OrderRejected.out-of-stock OrderSettled'],
  ['rejected', 'OrderPlaced OrderStockReserved OrderRejected.payment-declined OrderStockReleased OrderSettled'],
  ['cancelled', 'OrderPlaced OrderStockReserved OrderCancelled OrderStockReleased OrderPaymentReturned OrderSettled'],
])('orders of the past can be read: %s after %s', (status, history) => {
  const events = history.split(' ').map((name) => golden[`${name}.v1`]!);
  const state = stateAfter(order, events);
  expect({ status: state.status, settled: isSettled(state) }).toEqual({ status, settled: true });
  expect(state).toMatchObject({ terms: { total: { amountMinor: 3048, currency: 'EUR' } } });
});
