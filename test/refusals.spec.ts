/**
 * What the provider refuses waits for a person, who has it tried again or calls it off: each refusal is one, however often
 * it is told, and so is each decision. In memory, under a clock that the test moves on.
 */
import { afterEach, expect, test } from 'vitest';
import { type Message, MemoryMessageBus } from '#message-bus';
import { ManualClock, SequentialIds } from '#runtime/testing';
import { openMemoryShop } from './support/memory-shop.js';

const cause = { correlationId: 'test', causationId: 'test', actor: 'ada' };
const orderId = '11111111-1111-4111-8111-111111111111';
const MINUTE_MS = 60_000;
const retry = { decision: 'retry', reason: 'The bank has been called.' } as const;
const stops: (() => Promise<void>)[] = [];
afterEach(() => Promise.all(stops.splice(0).map((stop) => stop())));

/** A shop with an order whose capture was refused. Its bus loses the first message of a type in `lost`, and says those in `twice` twice. */
async function openShop(token: string, { lost = [], twice = [] }: { lost?: string[]; twice?: string[] } = {}) {
  const clock = new ManualClock();
  const toLose = new Set(lost);
  const said: { topic: string; message: Message }[] = [];
  class Bus extends MemoryMessageBus {
    override publish(topic: string, messages: readonly Message[]): Promise<void> {
      said.push(...messages.map((message) => ({ topic, message })));
      const kept = messages.filter(({ type }) => !toLose.delete(type));
      return super.publish(topic, [...kept, ...kept.filter(({ type }) => twice.includes(type))]);
    }
  }
  const bus = new Bus({ clock });
  const timing = { slowMs: 100, downMs: 1_000 };
  const shop = openMemoryShop({
    clock,
    ids: new SequentialIds(),
    bus,
    deadlineMs: 15 * MINUTE_MS,
    providerTimeoutMs: 2_000,
    timing,
  });
  const { order, inventory } = shop;
  stops.push(shop.stop);
  await order.setPrice('olive-oil', { amountMinor: 1299, currency: 'EUR' }, cause);
  await inventory.bookStock({ entryId: 'all', kind: 'receipt', sku: 'olive-oil', quantity: 10 }, cause);
  const lines = [{ sku: 'olive-oil', quantity: 2 }];
  await order.place({ orderId, customerId: orderId, lines, paymentToken: token }, cause);
  await clock.advance(MINUTE_MS / 2);
  const history = async (...types: string[]) =>
    (await order.history(orderId)).map(({ type }) => type).filter((type) => types.includes(type));
  expect(await history('OrderPaymentRefused')).toHaveLength(1);
  const idsOf = (type: string) => new Set(said.flatMap(({ message }) => (message.type === type ? message.id : [])));
  const sayAgain = async (type: string) => {
    const { topic, message } = said.find((it) => it.message.type === type)!;
    await MemoryMessageBus.prototype.publish.call(bus, topic, [message]);
    await clock.advance(1_000);
  };
  return { ...shop, clock, history, idsOf, sayAgain };
}

test('after a retry whose answer was lost, the old refusal is no news: reminders go on, and the order is completed', async () => {
  const shop = await openShop('tok_capture_refused_once', { lost: ['PaymentCaptured'] });
  await shop.order.resolve(orderId, retry, cause);
  await shop.clock.advance(1_000);
  await shop.sayAgain('PaymentRefused');
  expect(await shop.history('OrderPaymentRefused', 'OrderReminded')).toEqual(['OrderPaymentRefused', 'OrderReminded']);
  expect((await shop.order.inbox({ limit: 10 })).items).toEqual([]);
  await shop.clock.advance(10 * MINUTE_MS);
  expect(await shop.history('OrderPaymentRefused', 'OrderCompleted')).toEqual([
    'OrderPaymentRefused',
    'OrderCompleted',
  ]);
  expect(await shop.ledger.totals()).toMatchObject([{ heldMinor: 0n, capturedMinor: 2598n, netMinor: 2598n }]);
});

test('two equal decisions at once are one event and one attempt, also when the bus says it twice', async () => {
  const shop = await openShop('tok_capture_refused', { twice: ['OrderReminder'] });
  await Promise.all([shop.order.resolve(orderId, retry, cause), shop.order.resolve(orderId, retry, cause)]);
  await shop.clock.advance(10_000);
  expect(await shop.history('OrderReminded', 'OrderPaymentRefused')).toEqual([
    'OrderPaymentRefused',
    'OrderReminded',
    'OrderPaymentRefused',
  ]);
  expect(shop.idsOf('PaymentRefused').size, 'the provider was asked twice').toBe(2);
  await shop.order.resolve(orderId, retry, cause);
  await shop.clock.advance(10_000);
  expect(shop.idsOf('PaymentRefused').size, 'a decision about the second refusal is another one').toBe(3);
});

test('nobody has asked for it: a refused capture is not tried again, whatever is said twice', async () => {
  const shop = await openShop('tok_capture_refused_once');
  await shop.sayAgain('OrderConfirmed');
  await shop.clock.advance(3 * 60 * MINUTE_MS);
  expect(shop.idsOf('PaymentCaptured').size).toBe(0);
  expect((await shop.order.inbox({ limit: 10 })).items).toMatchObject([{ orderId, tried: { length: 1 } }]);
});
