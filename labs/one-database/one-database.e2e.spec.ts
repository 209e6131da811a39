/** A slice of the lab: its point, and its wrong way. */
import { inject, beforeAll, describe, expect, test } from 'vitest';
import { freshDatabase } from '#test/database';
import { load } from '../frame/load.js';
import { killAll } from '../frame/measure.js';
import type { Databases } from '../frame/way.js';
import { anomalies, countAt } from './anomalies.js';
import { oneDatabase as lab } from './lab.js';

const TIMES = 3;
let databases: Databases;
const way = (name: string) => lab.ways.find((each) => each.name === name)!;

beforeAll(async () => {
  const [shop, provider] = [await freshDatabase(), await freshDatabase()];
  databases = { order: shop, inventory: shop, payment: shop, provider };
});

describe('under load', () => {
  test('a way that reads and writes back sells what is not there', async () => {
    const { verdict } = await load(way('read and write back'), databases, 60, 1);
    expect(verdict.broken).toBeGreaterThan(0);
  });

  test.each(['row locks', 'revision check', 'serializable'])('%s: no order is broken', async (name) => {
    const { verdict } = await load(way(name), databases, 60, 1);
    expect(verdict.findings).toEqual([]);
    expect(verdict).toMatchObject({ orders: 60, broken: 0, oversold: 0 });
  });
});

describe('killed before and after every durable step', () => {
  test('a way that calls the provider within its transaction takes money for an order that nobody knows', async () => {
    const { kills, broken } = await killAll(lab, way('calls inside'), databases);
    const lost = kills.filter(({ wrong }) => wrong.some(({ kind }) => kind === 'ledger-without-order'));
    expect(lost.map(({ step, moment }) => `${moment} ${step}`)).toEqual([
      'after authorize',
      'before capture',
      'after capture',
      'before commit the order',
    ]);
    expect(broken).toBe(4);
  });

  test('row locks: every order that was taken is carried to its end, and nobody waits', async () => {
    const { kills, broken } = await killAll(lab, way('row locks'), databases);
    const DONE = 'order completed, reservation shipped, payment captured, provider captured';
    const NOTHING = 'order none, reservation none, payment none, provider nothing';
    expect(kills.map(({ end }) => end)).toEqual([NOTHING, ...Array.from({ length: 9 }, () => DONE)]);
    expect(kills.filter(({ othersWait }) => othersWait)).toEqual([]);
    expect(broken).toBe(0);
  });
});

describe.each(anomalies)('$name', (anomaly) => {
  const count = (...how: [Parameters<typeof countAt>[1], string?]) =>
    countAt(inject('postgresUrl'), how[0], anomaly, TIMES, how[1]);

  test('breaks every pair at read committed, and none when serializable', async () => {
    expect(await count('READ COMMITTED')).toEqual({ broken: TIMES, ended: 0 });
    expect(await count('SERIALIZABLE')).toEqual({ broken: 0, ended: TIMES });
  });

  test('repeatable read stops a lost update alone', async () => {
    const { broken } = await count('REPEATABLE READ');
    expect(broken).toBe(anomaly.name.startsWith('lost update') ? 0 : TIMES);
  });

  test.each(Object.keys(anomaly.mends))('%s: no pair is broken at read committed', async (mend) => {
    expect((await count('READ COMMITTED', mend)).broken).toBe(0);
  });
});
