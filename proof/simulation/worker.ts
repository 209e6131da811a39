/** A thread of `npm run simulate`: it is sent seeds, and answers each with what became of its world. */
import { parentPort } from 'node:worker_threads';
import type { Coverage } from './coverage.js';
import type { Violation } from './violations.js';
import { runWorld } from './world.js';

export interface Ran {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly coverage: Coverage;
  readonly orders: number;
  readonly steps: number;
}

parentPort?.on('message', ({ seed, orders }: { seed: number; orders?: number }) => {
  void runWorld(seed, { orders }).then(({ violations, coverage, orders, steps }) => {
    const ran: Ran = { seed, violations, coverage, orders, steps };
    parentPort!.postMessage(ran, []);
  });
});
