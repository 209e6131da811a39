import { expect, test } from 'vitest';
import { ManualClock } from './testing/manual-clock.js';
import { within } from './within.js';

const forEver = () => new Promise<never>(() => {});
const tooLate = () => {
  throw new Error('too late');
};

test('what does not answer within its time is not waited for, and is told to give up', async () => {
  const clock = new ManualClock();
  let given: AbortSignal | undefined;
  const answer = within(
    clock,
    2_000,
    (signal) => ((given = signal), forEver()),
    () => 'late',
  );
  await clock.advance(1_999);
  expect(given?.aborted).toBe(false);
  await clock.advance(1);
  expect(await answer).toBe('late');
  expect(given?.aborted).toBe(true);
});

test('an answer, and an error, come through and leave no timer behind', async () => {
  const clock = new ManualClock();
  expect(await within(clock, 2_000, async () => 'answer', tooLate)).toBe('answer');
  await expect(within(clock, 2_000, () => Promise.reject(new Error('no')), tooLate)).rejects.toThrow('no');
  expect(clock.sleeping).toBe(0);
});

test('who stops does not wait for the answer, and leaves no listener behind', async () => {
  const stop = new AbortController();
  let listeners = 0;
  const { signal } = stop;
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
  signal.addEventListener = (...args: Parameters<typeof add>) => (listeners++, add(...args));
  signal.removeEventListener = (...args: Parameters<typeof remove>) => (listeners--, remove(...args));

  const answer = within(new ManualClock(), 2_000, forEver, tooLate, signal);
  expect(listeners).toBe(1);
  stop.abort();
  await expect(answer).rejects.toThrow('too late');
  await expect(within(new ManualClock(), 2_000, forEver, tooLate, signal)).rejects.toThrow('too late');
  expect(listeners).toBe(0);
});
