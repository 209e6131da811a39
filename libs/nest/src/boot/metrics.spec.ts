import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Metrics } from './metrics.js';

test('the lag of the event loop is by how much its turns came late, and 0 when none was measured', async () => {
  const metrics = new Metrics('order');
  const lag = async () => {
    const found = (await metrics.registry.metrics()).matchAll(/^nodejs_eventloop_lag_(\w+)_seconds\{.*\} (\S+)$/gm);
    const of = Object.fromEntries(Array.from(found, ([, part, seconds]) => [part, Number(seconds)]));
    return of as Record<'min' | 'mean' | 'max' | 'p50' | 'p90' | 'p99', number>;
  };
  const { min, mean, max, p99 } = await lag();
  expect([min, mean, max, p99]).toEqual([0, 0, 0, 0]);

  await sleep(700);
  expect((await lag()).min).toBeLessThan(0.15);

  await sleep(300); // Its first sample only begins the next.
  const untilMs = performance.now() + 700;
  while (performance.now() < untilMs);
  await sleep(300);
  expect((await lag()).max).toBeGreaterThan(0.4);
});
