/** A slice of the lab: its point, and its wrong way. */
import { beforeAll, describe, expect, test } from 'vitest';
import { freshDatabase } from '#test/database';
import { preparedAt } from '../frame/books.js';
import { load } from '../frame/load.js';
import { killAll } from '../frame/measure.js';
import type { Databases } from '../frame/way.js';
import { twoPhaseCommit as lab } from './lab.js';
import { decideByHand, undecided } from './undecided.js';

let databases: Databases;
const way = (name: string, ...steps: readonly string[]) => ({
  ...lab.ways.find((each) => each.name === name)!,
  ...(steps.length > 0 && { steps }),
});

beforeAll(async () => {
  const [order, inventory, payment, provider] = await Promise.all(Array.from({ length: 4 }, () => freshDatabase()));
  databases = { order: order!, inventory: inventory!, payment: payment!, provider: provider! };
});

test('under load no order is broken, and nothing stays prepared', async () => {
  const { verdict } = await load(way('two phases'), databases, 40, 1);
  expect(verdict).toMatchObject({ orders: 40, broken: 0, oversold: 0, findings: [] });
  expect(await preparedAt(databases)).toEqual([]);
});

describe('the coordinator is killed', () => {
  test('without a log an order is torn apart: one participant has committed, and the others are rolled back', async () => {
    const { kills, broken } = await killAll(lab, way('no log', 'commit order'), databases);
    expect(kills.map(({ wrong }) => wrong.length > 0)).toEqual([false, true]);
    expect(broken).toBe(1);
  });

  test('with one, what was not decided is rolled back, and what was is committed; others wait meanwhile', async () => {
    const { kills, broken } = await killAll(lab, way('two phases', 'decide to take'), databases);
    const DONE = 'order completed, reservation shipped, payment captured, provider captured';
    const NOTHING = 'order none, reservation none, payment none, provider nothing';
    expect(kills.map(({ end }) => end)).toEqual([NOTHING, DONE]);
    expect(kills.map(({ othersWait, inDoubt }) => othersWait && inDoubt)).toEqual([true, true]);
    expect(broken).toBe(0);
    expect(await preparedAt(databases)).toEqual([]);
  });

  test('whoever wants the same goods waits, and vacuum removes nothing, until it is back', async () => {
    expect(Object.fromEntries(await undecided(lab, databases, { restart: false }))).toEqual({
      before: { prepared: 0, same: 'buys', other: 'buys', deadRows: 0 },
      'the coordinator is dead': { prepared: 3, same: 'waits', other: 'buys', deadRows: 100 },
      recovered: { prepared: 0, same: 'buys', other: 'buys', deadRows: 0 },
    });
  });
});

test.each([
  ['before', 'COMMIT', ['order-without-stream']],
  ['before', 'ROLLBACK', []],
  ['after', 'COMMIT', []],
  ['after', 'ROLLBACK', ['order-without-end', 'payment-without-end', 'reservation-missing']],
] as const)('killed %s the decision, and inventory ends it by hand with %s: %j', async (moment, hand, kinds) => {
  const findings = await decideByHand(lab, databases, { step: 'decide to take', moment }, hand);
  expect(findings.map(({ kind }) => kind).toSorted()).toEqual(kinds);
});
