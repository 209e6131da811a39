/** A few rows of `npm run crash`, those that hurt most, and its answer to a wrong command line. */
import { parseStory } from '../apps/console/src/story/file.js';
import { services } from '../apps/shop.js';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { crash, matrix, pick } from '../proof/crash.js';
import { ORDER_DEADLINE } from '../proof/crash/customers.js';
import { rowsFor, VICTIM } from '../proof/crash/matrix.js';
import { notSteps, steps } from '../proof/crash/durable-steps.js';
import { StoryKeeper } from '../proof/crash/stories.js';
import { interrupt } from './support/interrupt.js';
import { openShop } from './support/shop.js';

const hurting = [
  'order append OrderConfirmed after', // Past the pivot, and not yet published.
  'order handle a batch after', // Done, and delivered again.
  'inventory append ReservationMade after',
  'inventory publish after', // Published, and published again.
  'payment append PaymentCaptured before', // The provider has taken the money, and it is not recorded yet.
  'payment commit payment-todo before',
];

/** An output that is kept. */
function kept() {
  const output: string[] = [];
  const write = (text: string) => output.push(text);
  return { output: () => output.join(''), stdout: { write }, stderr: { write } };
}

test(
  'kill -9 where it hurts most: nothing is lost, every order is final within 30 s, and one of each crash tells of it',
  { timeout: 180_000 },
  async () => {
    const rows = pick(rowsFor('postgres'), hurting);
    expect(rows).toHaveLength(hurting.length);
    await using shop = await openShop({ program: VICTIM, env: { order: { ORDER_DEADLINE } } });
    const out = kept();
    const seed = Math.floor(Math.random() * 1e9);
    const folder = mkdtempSync(join(tmpdir(), 'larder-stories-'));
    try {
      const keeper = await StoryKeeper.open(shop, folder);
      const held = await matrix({ shop }, rows, seed, out, (...crash) => keeper.keep(...crash));
      expect(held, out.output()).toBe(true);
      const told = readdirSync(folder).map((file) => parseStory(readFileSync(join(folder, file), 'utf8')));
      expect(told).toHaveLength(hurting.length);
      for (const { facts, troubles } of told) {
        // Each kill struck an order that was under way: something came before it, and something after.
        expect(troubles).toHaveLength(1);
        const { at } = troubles![0]!;
        expect(facts[0]!.recordedAt <= at && at < facts.at(-1)!.recordedAt).toBe(true);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);

test('every event that a service appends has its row, or a reason to have none', () => {
  const events = services.flatMap((service) =>
    readdirSync(`apps/${service}/src/golden`).map((file) => file.split('.')[0]!),
  );
  const covered = new Set([...steps.map(({ about }) => about), ...Object.keys(notSteps)]);
  expect(events.length).toBeGreaterThan(30);
  expect(events.filter((event) => !covered.has(event))).toEqual([]);
});

test.each([
  [['--bus', 'pigeon'], 'There is no bus "pigeon". Usage: npm run crash -- [--bus postgres|kafka]'],
  [['--only', 'nothing'], 'No row begins with "nothing". There are rows of order, inventory, payment, postgres;'],
  [['--seed', 'x'], '"x" is not a whole number.'],
  [['--fast'], "Unknown option '--fast'. Usage: npm run crash"],
  [['fast'], "Unexpected argument 'fast'. Usage: npm run crash"],
])('%j: one line that names what is wrong, and exit code 2', async (argv, line) => {
  const out = kept();
  expect(await crash(argv, out)).toBe(2);
  expect(out.output()).toContain(line);
  expect(out.output().trimEnd().split('\n')).toHaveLength(1);
});

test('--list names every row', async () => {
  const out = kept();
  expect(await crash(['--list'], out)).toBe(0);
  expect(out.output().split('\n')).toEqual(
    expect.arrayContaining(['order append OrderPlaced', 'payment commit payment-todo', 'postgres kill -9, 3 times']),
  );
});

test('Ctrl-C in the middle leaves no process and no data behind', { timeout: 60_000 }, async () => {
  const { running, code, left } = await interrupt(['crash', '--only', 'order'], 'verdict');
  expect(running.length).toBeGreaterThan(4); // Three services, and Postgres with its own.
  expect({ code, left }).toEqual({ code: 130, left: [] });
});
