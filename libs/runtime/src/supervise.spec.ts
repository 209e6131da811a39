import { expect, test } from 'vitest';
import { silentLog, supervise } from '#runtime';
import { ManualClock, SeededRandom } from '#runtime/testing';

test.each([0, -600_000, 7 * 86_400_000])(
  'the pause grows while work fails, and is short again after a calm run, with the clock set by %i ms',
  async (setMs) => {
    const clock = new ManualClock();
    const stop = new AbortController();
    const beganMs: number[] = [];
    const failedMs: number[] = [];
    const work = async () => {
      beganMs.push(clock.monotonicMs());
      if (beganMs.length === 10) {
        clock.set(setMs);
        await clock.sleep(11_000);
      }
      failedMs.push(clock.monotonicMs());
      throw new Error('It fails.');
    };
    const loop = supervise('work', { clock, random: new SeededRandom(1), log: silentLog }, stop.signal, work);
    while (beganMs.length < 12) await clock.advance(10);
    const pausesMs = failedMs.map((ms, i) => beganMs[i + 1]! - ms);
    expect(pausesMs[8]).toBeGreaterThanOrEqual(1_000);
    expect(pausesMs[9]).toBeLessThanOrEqual(50);
    stop.abort();
    await loop;
  },
);
