/** The simulator: the same seed is the same world, a healthy shop keeps every rule, and a broken one is found and has its story. */
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { MemoryLog } from '#message-bus';
import { services } from '../apps/shop.js';
import { MemoryCustomerKeys } from '../apps/order/src/customer-keys/memory.js';
import type { CustomerKeys } from '../apps/order/src/customer-keys/port.js';
import type { Story } from '../apps/gateway/src/api.js';
import type { PaymentProvider } from '../apps/payment/src/provider.js';
import { paymentService } from '../apps/payment/src/service.js';
import { simulate } from '../proof/simulate.js';
import { type Durable, findViolations } from '../proof/simulation/violations.js';
import { points } from '../proof/simulation/fault-points.js';
import { type Compositions, runWorld } from '../proof/simulation/world.js';
import { refuseOldBuild, spawnCommand } from './support/shop.js';

async function run(argv: readonly string[], compositions?: Partial<Compositions>) {
  const written = { stdout: '', stderr: '' };
  const stream = (name: keyof typeof written) => ({ write: (text: string) => (written[name] += text) });
  const code = await simulate(argv, { stdout: stream('stdout'), stderr: stream('stderr') }, compositions);
  return { code, ...written };
}

test('the same seed is the same world, with or without its story; another seed is another world', async () => {
  const [first, again, withStory, other] = [
    await runWorld(7),
    await runWorld(7),
    await runWorld(7, { story: true }),
    await runWorld(8),
  ];
  expect(again.trace).toBe(first.trace);
  expect(withStory.trace).toBe(first.trace);
  expect(other.trace).not.toBe(first.trace);
  expect(withStory.story.length).toBeGreaterThan(0);
});

/** Other seeds each day; a seed that fails is printed with how to run it again. */
const today = Math.floor(Date.now() / 86_400_000) * 1_000;

test.each([
  ['that never change', 1],
  ['of today', today],
])('no world breaks a rule: seeds %s, from %i', { timeout: 120_000 }, async (_, first) => {
  const { code, stdout } = await run(['--seeds', '20', '--first', String(first), '--workers', '1', '--quiet']);
  expect(stdout).toMatch(/^20 worlds with [45]\d\d orders, .*every rule held/m);
  expect(code).toBe(0);
});

// Where nothing is given up, nothing has to be healed, and no world shows that it would be.
test('in few worlds messages become dead letters, which people retry and skip', { timeout: 60_000 }, async () => {
  const wanted = ['dead letter: retry', 'dead letter: skip'];
  const reached = new Set<string>();
  for (let seed = 1; seed <= 30 && !wanted.every((it) => reached.has(it)); seed++) {
    for (const fault of Object.keys((await runWorld(seed)).coverage.faults)) reached.add(fault);
  }
  expect(wanted.filter((it) => !reached.has(it))).toEqual([]);
});

/** A payment service whose voids get lost on their way, and are taken for answered. */
const losesVoids: Partial<Compositions> = {
  payment: (ports, options) => {
    const providerFor = (customer: string): PaymentProvider =>
      Object.assign(Object.create(ports.providerFor(customer)) as PaymentProvider, {
        void: async () => ({ status: 'voided' as const }),
      });
    return paymentService({ ...ports, providerFor }, options);
  },
};

test('a broken shop is found; its seed is shrunk, has a story, and replays exactly', { timeout: 240_000 }, async () => {
  const found = await run(['--seeds', '50', '--orders', '8', '--workers', '1', '--quiet'], losesVoids);
  expect(found.code).toBe(1);
  // What the provider does that was not asked for may make of a hold that is left an order without an end.
  const [, rule] = /^Seed \d+ breaks (money-held|order-without-end):$/m.exec(found.stdout)!;
  expect(found.stdout).toMatch(/^It needs [1-9] of the \d{2,} things that happen/m);
  expect(found.stdout).toMatch(/ order#1 +writes OrderCancelled \(order \d+\)/);

  const small = /^The small one: +npm run simulate -- (.*)$/m.exec(found.stdout)![1]!.split(' ');
  const replayed = await run(small, losesVoids);
  expect(replayed.code).toBe(1);
  const story = (text: string) => text.slice(text.indexOf(`Then ${rule}`));
  expect(story(replayed.stdout)).toBe(story(found.stdout));

  expect(await run(small), 'fixed, the same world keeps every rule').toMatchObject({ code: 0 });
});

test('the orders of a world are kept as stories, with what went wrong meanwhile', async () => {
  const folder = join(mkdtempSync(join(tmpdir(), 'larder-stories-')), 'of-world-1');
  const { code, stdout } = await run(['--seed', '1', '--quiet', '--stories', folder]);
  const files = readdirSync(folder);
  const stories = files.map((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')) as Story);
  rmSync(folder, { recursive: true });
  const { orders, plan, struckMs } = await runWorld(1);

  expect(code).toBe(0);
  expect(stdout).toContain(`The stories of ${orders} orders are in ${folder}`);
  expect(files).toHaveLength(orders);
  for (const { facts, at, ahead, troubles } of stories) {
    expect(facts.filter(({ type }) => type === 'OrderPlaced')).toHaveLength(1);
    expect(ahead).toBeUndefined(); // The world is over.
    const instants = [...facts.map(({ recordedAt }) => recordedAt), ...troubles!.map((trouble) => trouble.at)];
    for (const instant of instants) expect(instant <= at).toBe(true);
    for (const { shown } of facts) expect(Object.values(shown)).not.toContain(null);
  }
  expect(new Set(stories.flatMap(({ facts }) => facts.map(({ service }) => service)))).toEqual(new Set(services));
  const crashes = plan.items.filter(({ kind, n }) => kind === 'crash' && struckMs.has(n));
  const told = new Set(stories.flatMap(({ troubles }) => troubles!.map(({ what }) => what)));
  expect(crashes.length).toBeGreaterThan(0);
  expect([...told].filter((what) => what.includes(', killed;'))).toHaveLength(crashes.length);
});

test('threads change nothing but the time it takes', { timeout: 120_000 }, async () => {
  refuseOldBuild();
  const report = async (workers: string) => {
    const child = spawnCommand('simulate', ['--seeds', '4', '--orders', '12', '--workers', workers]);
    let output = '';
    child.stdout!.on('data', (text) => (output += text));
    expect(await once(child, 'close')).toEqual([0, null]);
    return output.replace(/[\d,]+ worlds a minute/, '');
  };
  expect(await report('2')).toBe(await report('1'));
});

test('every event that a service appends is a place where it can be struck', () => {
  for (const service of services) {
    const events = readdirSync(`apps/${service}/src/golden`).map((file) => file.split('.')[0]);
    const appends = points.filter((point) => point.service === service && point.step === 'store.append');
    expect(new Set(appends.map(({ about }) => about))).toEqual(new Set(events));
  }
});

test.each([
  ['--seed'],
  ['--seed', 'x'],
  ['--seeds', '0'],
  ['--only', '1'],
  ['--stories', 'folder'],
  ['--seed', '1', '--only', '1,b'],
  ['--what'],
  ['17'],
])('a wrong command line is answered in one line, with the usage: %s %s', async (...argv) => {
  const { code, stdout, stderr } = await run(argv);
  expect(code).toBe(2);
  expect(stdout).toBe('');
  expect(stderr).toMatch(/^([^\n]+\. )?Usage: npm run simulate -- --seeds N .* --only .*\n$/);
});

describe('each rule sees the damage that it is for', () => {
  const events = (durable: Durable, service: keyof Durable['events'], type: string) =>
    durable.events[service].filter((event) => event.type !== type);

  function copyOf(log: MemoryLog): MemoryLog {
    const copy = new MemoryLog(log.topic('order.events.v1').length);
    for (const topic of services.map((service) => `${service}.events.v1`))
      log.topic(topic).forEach((messages, partition) => copy.topic(topic)[partition]!.push(...messages));
    return copy;
  }

  const damages: Record<string, (durable: Durable) => Partial<Durable>> = {
    'accepted-order-lost': ({ promises }) => ({ promises: { ...promises, accepted: new Set(['nobody']) } }),
    'old-price': ({ events }) => ({
      events: {
        ...events,
        order: events.order.map((event) =>
          event.type === 'PriceSet' ? { ...event, data: { ...event.data, amountMinor: 1 } } : event,
        ),
      },
    }),
    'too-many-open': ({ promises }) => ({ promises: { ...promises, openOrders: 0 } }),
    'entry-lost': ({ events }) => ({
      events: { ...events, inventory: events.inventory.filter(({ type }) => type !== 'EntryMade') },
    }),
    'order-without-end': (durable) => ({
      events: { ...durable.events, order: events(durable, 'order', 'OrderCompleted') },
    }),
    'payment-without-end': (durable) => ({
      events: { ...durable.events, payment: events(durable, 'payment', 'PaymentVoided') },
    }),
    'broken-stream': (durable) => ({
      events: { ...durable.events, order: events(durable, 'order', 'OrderStockReleased') },
    }),
    'stock-and-reservation-differ': (durable) => ({
      events: { ...durable.events, inventory: events(durable, 'inventory', 'StockShipped') },
    }),
    'stock-negative': (durable) => ({
      events: { ...durable.events, inventory: events(durable, 'inventory', 'StockReceived') },
    }),
    'not-shipped': (durable) => ({
      events: { ...durable.events, inventory: events(durable, 'inventory', 'ReservationShipped') },
    }),
    'money-held': ({ ledger }) => ({ ledger: ledger.filter(({ type }) => type !== 'voided' && type !== 'captured') }),
    'not-paid': ({ ledger }) => ({ ledger: ledger.filter(({ type }) => type !== 'captured') }),
    'settled-too-early': ({ ledger }) => ({
      ledger: ledger.map((entry) => (entry.type === 'voided' ? { ...entry, at: '9999-01-01T00:00:00.000Z' } : entry)),
    }),
    'double-capture': ({ ledger }) => ({ ledger: [...ledger, ...ledger] }),
    'payment-and-ledger-differ': ({ ledger }) => ({
      ledger: ledger.flatMap((entry) => {
        if (entry.type !== 'voided') return [entry];
        const minor = -entry.heldMinor;
        const captured = { ...entry, type: 'captured' as const, chargedMinor: minor };
        return [captured, { ...entry, type: 'refunded' as const, heldMinor: 0, chargedMinor: -minor }];
      }),
    }),
    'message-missing': ({ log }) => {
      const lacking = copyOf(log);
      lacking
        .topic('order.events.v1')
        .find((partition) => partition.length > 0)!
        .pop();
      return { log: lacking };
    },
    'messages-out-of-order': ({ log }) => {
      const reversed = copyOf(log);
      for (const partition of reversed.topic('order.events.v1')) partition.reverse();
      return { log: reversed };
    },
    'message-passed-over': ({ promises }) => ({
      promises: { ...promises, handled: { ...promises.handled, payment: new Set<string>() } },
    }),
    'person-shown': ({ events }) => ({
      events: {
        ...events,
        order: events.order.map((event) =>
          event.type === 'OrderSettled' ? { ...event, data: { sentTo: 'Ada Quastenberg' } } : event,
        ),
      },
    }),
    'recipient-lost': () => ({ customerKeys: new MemoryCustomerKeys() }),
    'erased-key-stays': ({ customerKeys }) => ({
      customerKeys: Object.assign(Object.create(customerKeys) as CustomerKeys, {
        find: async (kid: string) => (await customerKeys.find(kid)) ?? { kid, secret: Buffer.alloc(32) },
      }),
    }),
    'erased-unasked': (durable) => ({
      events: { ...durable.events, order: events(durable, 'order', 'CustomerErasureRequested') },
    }),
    'erased-too-early': (durable) => ({
      events: {
        ...durable.events,
        order: durable.events.order.map((event) =>
          event.type === 'CustomerErased' ? { ...event, position: 1n } : event,
        ),
      },
    }),
    'key-not-noted': (durable) => ({
      events: { ...durable.events, order: events(durable, 'order', 'CustomerRecipientKept') },
    }),
    'closed-key-used': (durable) => ({
      events: { ...durable.events, order: durable.events.order.toReversed() },
    }),
    'row-too-many': (durable) => ({
      events: { ...durable.events, order: events(durable, 'order', 'PriceSet') },
    }),
  };

  /** What the first world left in which something was sold, and something given back, and every clock showed the same. */
  async function worldOfAll(): Promise<Durable> {
    for (let seed = 1; ; seed++) {
      const { durable, violations } = await runWorld(seed);
      const happened = new Set([...durable.ledger, ...durable.events.order].map(({ type }) => type));
      expect(violations).toEqual([]);
      if (
        durable.promises.oneTime &&
        ['captured', 'voided', 'OrderStockReleased', 'CustomerErased'].every((type) => happened.has(type))
      )
        return durable;
    }
  }

  let durable: Durable;
  beforeAll(async () => {
    durable = await worldOfAll();
    expect(await findViolations(durable)).toEqual([]);
  });

  test.each(Object.entries(damages))('%s', async (rule, damage) => {
    const damaged = { ...durable, ...damage(durable) };
    expect((await findViolations(damaged)).map((violation) => violation.rule)).toContain(rule);
  });
});
