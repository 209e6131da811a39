import { expect, test } from 'vitest';
import { ManualClock } from '#runtime';
import { ProviderTimeout, withTimeout } from './provider.js';

const never = new AbortController().signal;

test('a call that does not answer within its time fails, and is told to give up', async () => {
  const clock = new ManualClock();
  let given: AbortSignal | undefined;
  const call = withTimeout(clock, 2_000, never, (signal) => {
    given = signal;
    return new Promise(() => {});
  });
  const verdict = expect(call).rejects.toThrow(ProviderTimeout);
  await clock.advance(1_999);
  expect(given?.aborted).toBe(false);
  await clock.advance(1);
  await verdict;
  expect(given?.aborted).toBe(true);
});

test('an answer, and an error, come through and leave no timer behind', async () => {
  const clock = new ManualClock();
  await expect(withTimeout(clock, 2_000, never, async () => 'answer')).resolves.toBe('answer');
  await expect(withTimeout(clock, 2_000, never, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(clock.sleeping).toBe(0);
});

test('a caller that stops does not wait for the answer', async () => {
  const stop = new AbortController();
  const call = withTimeout(new ManualClock(), 2_000, stop.signal, () => new Promise(() => {}));
  stop.abort();
  await expect(call).rejects.toThrow(ProviderTimeout);
  await expect(withTimeout(new ManualClock(), 2_000, stop.signal, () => new Promise(() => {}))).rejects.toThrow(
    ProviderTimeout,
  );
});
