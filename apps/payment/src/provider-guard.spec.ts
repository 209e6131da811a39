import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { SeededRandom } from '#runtime/testing';
import { silentLog, SystemClock } from '#runtime';
import { guardProvider } from './provider-guard.js';
import { PaymentProvider, ProviderTimeout, ProviderUnavailable } from './provider.js';

const TIMEOUT_MS = 2_000;
const never = new AbortController().signal;
const amount = { amountMinor: 1299, currency: 'EUR' };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

type Behaviour = (orderId: string, signal: AbortSignal) => Promise<any>;

const answers: Behaviour = async () => ({ status: 'authorized', authorizationId: 'auth_1' });
const declines: Behaviour = async () => ({ status: 'declined', reason: 'declined' });
const refuses: Behaviour = async () => ({ status: 'refused', reason: 'not-authorized' });
const hangs: Behaviour = () => new Promise(() => {});
const away: Behaviour = () => Promise.reject(new ProviderUnavailable());
const breaks: Behaviour = () => Promise.reject(new TypeError('fetch failed'));

/** A provider that behaves as the test sets, and remembers the idempotency keys that it has seen. */
class Moody extends PaymentProvider {
  behaves = answers;
  readonly keys: string[] = [];
  underWay = 0;

  override authorize = this.serve;
  override capture = this.serve;
  override void = this.serve;
  override refund = this.serve;
  override find = (orderId: string, signal: AbortSignal) => this.serve({ orderId, idempotencyKey: 'find' }, signal);

  private async serve({ orderId, idempotencyKey }: { orderId: string; idempotencyKey: string }, signal: AbortSignal) {
    this.keys.push(idempotencyKey);
    this.underWay++;
    signal.addEventListener('abort', () => this.underWay--, { once: true });
    return this.behaves(orderId, signal);
  }
}

function setUp() {
  const moody = new Moody();
  const counted: Record<string, number> = {};
  const logged: string[] = [];
  const guard = guardProvider(moody, {
    timeoutMs: TIMEOUT_MS,
    clock: new SystemClock(),
    random: new SeededRandom(1),
    log: { ...silentLog, error: (_, message) => logged.push(message), info: (_, message) => logged.push(message) },
    count: ({ operation, outcome }) =>
      (counted[`${operation} ${outcome}`] = (counted[`${operation} ${outcome}`] ?? 0) + 1),
  });
  const provider = guard.for('ada');
  /** One call, or one for each of many payments; how each ended. Each payment is another customer's, or all are one's. */
  const authorize = (orderId = 'o1', signal = never, customer = orderId) =>
    guard.for(customer).authorize({ orderId, amount, token: 'tok', idempotencyKey: `${orderId}:authorize` }, signal);
  const many = (count: number, { of = 'o', customer }: { of?: string; customer?: string } = {}) =>
    Promise.all(
      Array.from({ length: count }, (_, n) =>
        authorize(`${of}${n}`, never, customer).then(
          ({ status }) => status,
          (error: Error) => error.name,
        ),
      ),
    );
  /** Advances the time while a call is in progress. */
  const after = async <T>(ms: number, call: Promise<T>) => {
    const settled = Promise.allSettled([call]);
    await vi.advanceTimersByTimeAsync(ms);
    const [result] = await settled;
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  };
  return { moody, guard, provider, counted, logged, authorize, many, after };
}

describe('one call', () => {
  test('that is answered passes, whatever the answer: a decline or a refusal is no failure', async () => {
    const s = setUp();
    for (const behaves of [answers, declines, refuses]) {
      s.moody.behaves = behaves;
      for (let n = 0; n < 100; n++) {
        expect(await s.authorize()).toEqual(await behaves('', never));
        expect(await s.provider.find('o1', never)).toEqual(await behaves('', never));
        await s.provider.capture({ orderId: 'o1', amount, idempotencyKey: 'c' }, never);
        await s.provider.void({ orderId: 'o1', idempotencyKey: 'v' }, never);
        await s.provider.refund({ orderId: 'o1', amount, idempotencyKey: 'r' }, never);
      }
      expect(s.guard.circuit).toBe('closed');
    }
    expect(s.counted).toEqual({
      'authorize answered': 300,
      'find answered': 300,
      'capture answered': 300,
      'void answered': 300,
      'refund answered': 300,
    });
  });

  test('that hangs times out, is aborted and is not retried', async () => {
    const s = setUp();
    s.moody.behaves = hangs;
    const call = expect(s.authorize()).rejects.toThrow(ProviderTimeout);
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS - 1);
    expect(s.moody.underWay).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    await call;
    expect(s.moody.underWay).toBe(0);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(s.moody.keys).toEqual(['o1:authorize']);
    expect(s.counted).toEqual({ 'authorize timeout': 1 });
  });

  test('that is turned away is retried once, under the same key', async () => {
    const s = setUp();
    s.moody.behaves = away;
    await expect(s.after(1_000, s.authorize())).rejects.toThrow(ProviderUnavailable);
    expect(s.moody.keys).toEqual(['o1:authorize', 'o1:authorize']);
    s.moody.behaves = (...call) => ((s.moody.behaves = answers), away(...call));
    expect(await s.after(1_000, s.authorize())).toMatchObject({ status: 'authorized' });
    expect(s.counted).toEqual({ 'authorize unavailable': 3, 'authorize answered': 1 });
  });

  test('that fails in another way fails with that error, and is not retried', async () => {
    const s = setUp();
    s.moody.behaves = breaks;
    await expect(s.authorize()).rejects.toThrow('fetch failed');
    expect(s.counted).toEqual({ 'authorize failed': 1 });
  });

  test('whose caller stops ends at once, and is not counted against the provider', async () => {
    const s = setUp();
    s.moody.behaves = hangs;
    for (let n = 0; n < 100; n++) {
      const stop = new AbortController();
      const call = expect(s.authorize('o1', stop.signal)).rejects.toThrow(ProviderTimeout);
      stop.abort();
      await call;
      await expect(s.authorize('o1', stop.signal)).rejects.toThrow(ProviderTimeout);
    }
    expect(s.guard.circuit).toBe('closed');
    expect(s.moody.keys).toHaveLength(100);
    expect(s.counted).toEqual({ 'authorize given-up': 200 });
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('the circuit', () => {
  /** Sixty calls that hang: more than the circuit needs to open. */
  async function opened() {
    const s = setUp();
    s.moody.behaves = hangs;
    expect(new Set(await s.after(TIMEOUT_MS, s.many(60)))).toEqual(new Set(['ProviderTimeout']));
    expect(s.guard.circuit).toBe('open');
    return s;
  }

  test.each([
    ['hangs', hangs, TIMEOUT_MS],
    ['is away', away, 100],
    ['breaks', breaks, 0],
  ])(
    'opens while the provider %s, and then calls fail at once without being made',
    async (_, behaves, failsAfterMs) => {
      const s = setUp();
      s.moody.behaves = behaves;
      await s.after(failsAfterMs, s.many(60));
      expect(s.guard.circuit).toBe('open');
      const made = s.moody.keys.length;
      await expect(s.authorize()).rejects.toThrow(ProviderUnavailable);
      await expect(s.provider.find('o1', never)).rejects.toThrow(/not called for a moment/);
      expect(s.moody.keys).toHaveLength(made);
      expect(s.counted).toMatchObject({ 'authorize not-made': 1, 'find not-made': 1 });
    },
  );

  test('closes with the first call that succeeds, and those that waited meanwhile continue', async () => {
    const s = await opened();
    s.moody.behaves = answers;
    await expect(s.authorize()).rejects.toThrow(ProviderUnavailable);
    await vi.advanceTimersByTimeAsync(1_000);
    let answer = () => {};
    s.moody.behaves = (...call) => new Promise((resolve) => (answer = () => resolve(answers(...call))));
    const first = s.authorize('first');
    const others = s.many(5);
    await vi.advanceTimersByTimeAsync(0);
    expect(s.guard.circuit).toBe('half-open');
    expect(s.moody.underWay).toBe(1);
    s.moody.behaves = answers;
    answer();
    await first;
    expect(await others).toEqual(Array(5).fill('authorized'));
    expect(s.guard.circuit).toBe('closed');
  });

  test('stays open while its trial call fails, and that is logged once', async () => {
    const s = await opened();
    for (let n = 0; n < 5; n++) {
      await vi.advanceTimersByTimeAsync(1_000);
      await expect(s.after(TIMEOUT_MS, s.authorize())).rejects.toThrow(ProviderTimeout);
      expect(s.guard.circuit).toBe('open');
    }
    s.moody.behaves = answers;
    await vi.advanceTimersByTimeAsync(1_000);
    await s.authorize();
    expect(s.logged).toEqual([
      expect.stringContaining('circuit is open'),
      expect.stringContaining('circuit is closed'),
    ]);
  });

  test('a clock that is set back ten minutes, or forward a week, changes nothing', async () => {
    for (const setMs of [-600_000, 7 * 86_400_000]) {
      const s = await opened();
      vi.setSystemTime(Date.now() + setMs);
      await expect(s.authorize()).rejects.toThrow(/not called for a moment/);
      await vi.advanceTimersByTimeAsync(1_000);
      s.moody.behaves = answers;
      expect(await s.authorize()).toMatchObject({ status: 'authorized' });
      expect(s.guard.circuit).toBe('closed');

      // Failures that lie further apart than ten seconds do not add up.
      s.moody.behaves = breaks;
      for (const nth of [1, 2]) {
        expect(await s.many(15, { of: `${nth}-` }), `${nth}`).toContain('TypeError');
        vi.setSystemTime(Date.now() - 600_000);
        await vi.advanceTimersByTimeAsync(11_000);
      }
      expect(s.guard.circuit).toBe('closed');
    }
  });

  test('one customer whose payments all hang leaves it closed, alone and beside others', async () => {
    const s = setUp();
    s.moody.behaves = (orderId, signal) => (orderId.startsWith('bad') ? hangs : answers)(orderId, signal);
    const bad = s.many(400, { of: 'bad', customer: 'mallory' });
    for (let round = 0; round < 50; round++) {
      await vi.advanceTimersByTimeAsync(TIMEOUT_MS);
      expect(s.guard.circuit).toBe('closed');
      if (round >= 25) expect(new Set(await s.many(10))).toEqual(new Set(['authorized']));
    }
    expect(new Set(await bad)).toEqual(new Set(['ProviderTimeout']));
  });

  test('what older failures were counts no longer: each customer has one voice, the latest of ten seconds', async () => {
    const s = setUp();
    s.moody.behaves = breaks;
    await s.many(19);
    s.moody.behaves = answers;
    await s.many(19);
    s.moody.behaves = breaks;
    await s.many(15, { of: 'other' });
    expect(s.guard.circuit, '15 of 34 fail').toBe('closed');
    await vi.advanceTimersByTimeAsync(10_000);
    await s.many(19, { of: 'new' });
    expect(s.guard.circuit, 'these are too few').toBe('closed');
    await s.many(20, { of: 'new' });
    expect(s.guard.circuit).toBe('open');
  });

  test('one bad payment leaves it closed, even when it is the only one for a while', async () => {
    const s = setUp();
    s.moody.behaves = (orderId, signal) => (orderId === 'bad' ? away : answers)(orderId, signal);
    // As the cashier does it: again and again, after pauses that grow up to five seconds.
    for (
      let [pauseMs, elapsedMs] = [100, 0];
      elapsedMs < 30_000;
      elapsedMs += pauseMs, pauseMs = Math.min(pauseMs * 2, 5_000)
    ) {
      await expect(s.after(pauseMs, s.authorize('bad'))).rejects.toThrow(ProviderUnavailable);
    }
    expect(s.counted['authorize unavailable']).toBeGreaterThan(15);
    expect(s.guard.circuit).toBe('closed');
    expect(await s.authorize('good')).toMatchObject({ status: 'authorized' });
  });

  test('many calls with few failures leave it closed', async () => {
    const s = setUp();
    s.moody.behaves = (orderId, signal) => (Number(orderId.slice(1)) % 3 === 0 ? breaks : answers)(orderId, signal);
    const ends = await s.many(300);
    expect(ends.filter((end) => end === 'TypeError')).toHaveLength(100);
    expect(s.guard.circuit).toBe('closed');
  });
});

describe('the places', () => {
  test('lets 64 calls through at a time; the others follow in their order', async () => {
    const s = setUp();
    const answer: (() => void)[] = [];
    s.moody.behaves = (...call) => new Promise((resolve) => answer.push(() => resolve(answers(...call))));
    const all = s.many(200);
    await vi.advanceTimersByTimeAsync(0);
    expect(s.moody.keys).toHaveLength(64);
    for (let n = 0; n < 200; n++) {
      answer[n]!();
      await vi.advanceTimersByTimeAsync(0);
    }
    expect(new Set(await all)).toEqual(new Set(['authorized']));
    expect(s.moody.keys).toEqual(Array.from({ length: 200 }, (_, n) => `o${n}:authorize`));
  });

  test('when ten thousand calls wait, the next one fails', async () => {
    const s = setUp();
    s.moody.behaves = hangs;
    const stop = new AbortController();
    const waiting = Array.from({ length: 10_064 }, (_, n) => s.authorize(`o${n}`, stop.signal));
    const all = Promise.allSettled(waiting);
    await expect(s.authorize('late')).rejects.toThrow(/too many calls wait/);
    expect(s.counted).toEqual({ 'authorize not-made': 1 });
    stop.abort();
    await all;
  });

  test("a customer has eight of them: beside four hundred hanging payments of one, another's call is made at once", async () => {
    const s = setUp();
    s.moody.behaves = hangs;
    const slow = s.many(400, { of: 'slow', customer: 'mallory' });
    await vi.advanceTimersByTimeAsync(0);
    expect(s.moody.keys).toHaveLength(8);
    s.moody.behaves = answers;
    expect(await s.authorize()).toMatchObject({ status: 'authorized' });
    s.moody.behaves = hangs;
    await vi.advanceTimersByTimeAsync(50 * TIMEOUT_MS);
    expect(new Set(await slow)).toEqual(new Set(['ProviderTimeout']));
  });

  /** Customers with so many payments each, at a provider that answers when it is told to. */
  async function crowd(customers: number, payments: number) {
    const s = setUp();
    const answer: (() => void)[] = [];
    s.moody.behaves = (...call) => new Promise((resolve) => answer.push(() => resolve(answers(...call))));
    const ask = (more: number, of: string) =>
      Promise.all(
        Array.from({ length: customers }, (_, n) => s.many(more, { of: `${n}-${of}`, customer: `customer ${n}` })),
      );
    const all = ask(payments, '');
    await vi.advanceTimersByTimeAsync(0);
    let answered = 0;
    const answerNext = async () => {
      answer[answered++]!();
      await vi.advanceTimersByTimeAsync(0);
    };
    /** How many places each of them has. */
    const places = () => {
      const under = s.moody.keys.slice(answered).filter((key) => /^\d+-/.test(key));
      return Array.from({ length: customers }, (_, n) => under.filter((key) => key.startsWith(`${n}-`)).length);
    };
    return { ...s, all, ask, places, answerNext };
  }

  test('many who want many leave some for whoever comes', async () => {
    const s = await crowd(20, 20);
    for (let n = 0; n < 400; n++) {
      const made = s.moody.keys.length;
      expect(made - n, 'at work').toBeLessThan(64);
      // At first there were fewer: those have more until these calls end.
      if (n >= 64) expect(made - n, 'at work').toBeLessThan(56);
      if (n >= 64 && n < 200) {
        expect(Math.min(...s.places())).toBeGreaterThanOrEqual(1);
        expect(Math.max(...s.places())).toBeLessThanOrEqual(3);
      }
      await s.answerNext();
    }
    expect((await s.all).flat()).toEqual(Array(400).fill('authorized'));
  });

  test('while all are taken, the next goes to whoever has none, and not to who has waited longest', async () => {
    const s = await crowd(64, 1);
    expect(s.places()).toEqual(Array(64).fill(1));
    const more = s.ask(4, 'more-');
    const modest = s.many(3, { of: 'modest' });
    for (let n = 0; n < 3; n++) await s.answerNext();
    expect(s.moody.keys.slice(64)).toEqual(['modest0', 'modest1', 'modest2'].map((it) => `${it}:authorize`));
    for (let n = 3; n < 323; n++) await s.answerNext();
    expect(await modest).toEqual(Array(3).fill('authorized'));
    expect([...(await s.all), ...(await more)].flat()).toEqual(Array(320).fill('authorized'));
  });

  test("when a thousand calls of a customer wait, the next one fails, and another's is made", async () => {
    const s = setUp();
    s.moody.behaves = hangs;
    const stop = new AbortController();
    const waiting = Array.from({ length: 1_008 }, (_, n) => s.authorize(`o${n}`, stop.signal, 'mallory'));
    const all = Promise.allSettled(waiting);
    await expect(s.authorize('late', never, 'mallory')).rejects.toThrow(/too many calls wait/);
    s.moody.behaves = answers;
    expect(await s.authorize()).toMatchObject({ status: 'authorized' });
    stop.abort();
    await all;
  });

  test('callers that stop while they wait make room for those behind them', async () => {
    const s = setUp();
    s.moody.behaves = hangs;
    const stop = new AbortController();
    const gone = Promise.allSettled(Array.from({ length: 200 }, (_, n) => s.authorize(`gone${n}`, stop.signal)));
    await vi.advanceTimersByTimeAsync(0);
    s.moody.behaves = answers;
    const behind = s.many(5);
    stop.abort();
    await gone;
    expect(await s.after(0, behind)).toEqual(Array(5).fill('authorized'));
  });
});
