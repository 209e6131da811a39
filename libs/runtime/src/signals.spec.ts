import { expect, test } from 'vitest';
import { ManualClock } from './testing/manual-clock.js';
import { Bell, endsWithin, within } from './signals.js';

const never = () => new Promise<never>(() => {});
const tooLate = () => {
  throw new Error('too late');
};

test('a call that does not answer in time is no longer awaited, and its signal aborts', async () => {
  const clock = new ManualClock();
  let given: AbortSignal | undefined;
  const answer = within(
    clock,
    2_000,
    (signal) => ((given = signal), never()),
    () => 'late',
  );
  await clock.advance(1_999);
  expect(given?.aborted).toBe(false);
  await clock.advance(1);
  expect(await answer).toBe('late');
  expect(given?.aborted).toBe(true);
});

test('an answer and an error come through and leave no timer behind', async () => {
  const clock = new ManualClock();
  expect(await within(clock, 2_000, async () => 'answer', tooLate)).toBe('answer');
  await expect(within(clock, 2_000, () => Promise.reject(new Error('no')), tooLate)).rejects.toThrow('no');
  expect(clock.sleeping).toBe(0);
});

test('a caller that stops does not wait for the answer, and leaves no listener behind', async () => {
  const stop = new AbortController();
  let listeners = 0;
  const { signal } = stop;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => (listeners++, add(...args));
  signal.removeEventListener = (...args: Parameters<typeof remove>) => (listeners--, remove(...args));

  const answer = within(new ManualClock(), 2_000, never, tooLate, signal);
  expect(listeners).toBe(1);
  stop.abort();
  await expect(answer).rejects.toThrow('too late');
  await expect(within(new ManualClock(), 2_000, never, tooLate, signal)).rejects.toThrow('too late');
  expect(listeners).toBe(0);
});

test('a bell wakes its waiter, and a ring that came first wakes the next one, once', async () => {
  const clock = new ManualClock();
  const { signal } = new AbortController();
  const bell = new Bell();
  const woken = bell.wait(signal);
  bell.ring();
  await woken;
  bell.ring();
  bell.ring();
  await bell.wait(signal);

  let polled = false;
  const poll = bell.wait(signal, { clock, pollMs: 100 }).then(() => (polled = true));
  await clock.advance(99);
  expect(polled).toBe(false);
  await clock.advance(1);
  await poll;
});

test('a promise ends within a time whether it resolves or rejects', async () => {
  const clock = new ManualClock();
  expect(await endsWithin(clock, 100, Promise.resolve())).toBe(true);
  expect(await endsWithin(clock, 100, Promise.reject(new Error('no')))).toBe(true);
  const late = endsWithin(clock, 100, never());
  await clock.advance(100);
  expect(await late).toBe(false);
});
