import { expect, test } from 'vitest';
import { ManualClock } from '#runtime/testing';
import { Health } from './health.js';

test('a check that requests do not need delays the answer by half a second at most, when its server does not answer', async () => {
  const clock = new ManualClock();
  const health = new Health(clock);
  health.add('store', async () => {});
  health.add('bus', () => new Promise(() => {}), { needed: false });
  let readiness: object | undefined;
  void health.ready().then((found) => (readiness = found));
  await clock.advance(500);
  expect(readiness).toEqual({ status: 'degraded', checks: { store: { status: 'up' }, bus: { status: 'down' } } });
});
