import { afterEach, beforeEach, expect, test } from 'vitest';
import { Busy, type Log, MemoryLeases, ServerUnavailable, silentLog } from '#runtime';
import { ManualClock, SeededRandom, SequentialIds } from '#runtime/testing';
import { Consumer, type ConsumerOptions, PoisonMessage, SkippedMessage } from './consumer.js';
import { message, numberOf, until } from './contract.js';
import { MemoryLog, MemoryMessageBus } from './memory.js';
import { MemoryParkedMessages } from './parked-memory.js';
import { partitionOf } from './partitions.js';
import { type ConsumeOptions, type Delivered, MALFORMED, type Message } from './port.js';

let stop: AbortController;
let running: Promise<void>[];
let clock: ManualClock;
let log: MemoryLog;
let bus: MemoryMessageBus;
let parked: MemoryParkedMessages;
/** What was handled, and what is to fail. */
let handled: string[];
let failing: Set<string>;
/** What was counted, by topic. */
let skipped: Record<string, number>;
let dead: Record<string, number>;

beforeEach(() => {
  stop = new AbortController();
  running = [];
  clock = new ManualClock();
  log = new MemoryLog();
  bus = new MemoryMessageBus({ clock, log });
  parked = new MemoryParkedMessages();
  handled = [];
  failing = new Set();
  [skipped, dead] = [{}, {}];
});
afterEach(async () => {
  stop.abort();
  await Promise.all(running);
});

const leases = new MemoryLeases();

async function handle({ id }: Message): Promise<void> {
  if (failing.has(id)) throw new Error(`${id} fails`);
  handled.push(id);
}

const counters = {
  skipped: ({ topic }: { topic: string }, by = 1) => void (skipped[topic] = (skipped[topic] ?? 0) + by),
  dead: ({ topic }: { topic: string }, by = 1) => void (dead[topic] = (dead[topic] ?? 0) + by),
};

function start(options: Partial<ConsumerOptions> = {}, logged: Log = silentLog): void {
  const runtime = { clock, ids: new SequentialIds(), random: new SeededRandom(1), log: logged };
  const signal = stop.signal;
  running.push(
    new Consumer({
      name: 'consumer',
      bus,
      topics: ['test'],
      parked,
      leases,
      handle,
      counters,
      runtime,
      signal,
      ...options,
    }).run(),
  );
}

function publish(...ids: string[]): Promise<void> {
  return bus.publish(
    'test',
    ids.map((id) => message(id.split('/')[0]!, Number(id.split('/')[1]))),
  );
}

/** Advances the clock, a second at a time, until `check` no longer throws. */
async function inTime(check: () => unknown, seconds = 3_600): Promise<void> {
  for (let second = 0; ; second++) {
    try {
      return void (await check());
    } catch (error) {
      if (second === seconds) throw error;
      await clock.advance(1_000);
    }
  }
}

test('while a message fails, only its own key waits', async () => {
  failing.add('a/0');
  start();
  await publish('a/0', 'b/0', 'a/1', 'b/1');
  await publish('b/2', 'a/2');
  await until(() => expect(handled).toEqual(['b/0', 'b/1', 'b/2']));
  await clock.advance(10_000);
  expect(handled).toEqual(['b/0', 'b/1', 'b/2']);
});

test('a key continues in order as soon as its message succeeds', async () => {
  failing.add('a/0');
  start();
  await publish('a/0', 'a/1');
  await clock.advance(2_000);
  await publish('a/2');
  failing.clear();
  await inTime(() => expect(handled).toEqual(['a/0', 'a/1', 'a/2']));
  expect(await parked.parkedKeys('consumer', ['a'])).toBeUndefined();
  await publish('a/3');
  await until(() => expect(handled.at(-1)).toBe('a/3'));
});

test('a clock that is set back makes no pause longer', async () => {
  failing.add('a/0');
  start();
  await publish('a/0');
  await inTime(async () => expect(await parked.parkedKeys('consumer', ['a'])).toEqual(new Set(['a'])));
  failing.clear();
  clock.set(-600_000);
  await inTime(() => expect(handled).toEqual(['a/0']), 3);
});

test('the pauses between retries grow; after the last attempt the message is a dead letter', async () => {
  const attemptsMs: number[] = [];
  const errors: object[] = [];
  start(
    {
      maxAttempts: 4,
      handle: async () => {
        attemptsMs.push(clock.now().getTime());
        throw new Error('never');
      },
    },
    { ...silentLog, error: (fields) => errors.push(fields) },
  );
  await publish('a/0');
  await inTime(() => expect(errors).toHaveLength(1), 60);
  await clock.advance(3_600_000);
  expect(attemptsMs).toHaveLength(4);
  const pausesMs = attemptsMs.slice(1).map((ms, i) => ms - attemptsMs[i]!);
  expect(pausesMs).toEqual(pausesMs.toSorted((a, b) => a - b));
  expect(errors).toEqual([expect.objectContaining({ key: 'a', type: 'Tested', messageId: 'a/0', attempts: 4 })]);
  expect(await parked.listDead(0n, 10)).toMatchObject([{ message: { id: 'a/0' }, error: 'Error: never' }]);
});

test.each([
  ['is away', () => new ServerUnavailable('The store does not answer.')],
  ['refuses connections', () => Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })],
  ['is busy', () => new Busy('Others were faster.')],
])('while a server %s, even for an hour, messages wait and use up no attempts', async (_, failure) => {
  let away = true;
  const logged: object[] = [];
  const handleWhenBack = async (delivered: Delivered) => {
    if (away) throw failure();
    await handle(delivered);
  };
  start({ handle: handleWhenBack }, { ...silentLog, warn: (fields) => logged.push(fields) });
  const ids = Array.from({ length: 20 }, (_each, i) => `key-${i}/0`);
  await publish(...ids);
  await clock.advance(3_600_000);
  expect(handled).toEqual([]);
  expect(await parked.listDead(0n, 10)).toEqual([]);
  expect(logged).toHaveLength(1);
  away = false;
  await inTime(() => expect(handled.sort()).toEqual(ids.sort()), 10);
});

test('a dead letter holds its key until a person decides: retried, it goes first', async () => {
  failing.add('a/0');
  start({ maxAttempts: 1 });
  await publish('a/0', 'a/1');
  await inTime(async () => expect(await parked.listDead(0n, 10)).toHaveLength(1));
  await publish('a/2');
  await clock.advance(60_000);
  expect(handled).toEqual([]);
  failing.clear();
  await decide('retry');
  await inTime(() => expect(handled).toEqual(['a/0', 'a/1', 'a/2']));
});

test('a dead letter holds its key until a person decides: skipped, the messages behind it are handled', async () => {
  failing.add('a/0');
  start({ maxAttempts: 1 });
  await publish('a/0', 'a/1');
  await inTime(async () => expect(await parked.listDead(0n, 10)).toHaveLength(1));
  await decide('skip');
  await inTime(() => expect(handled).toEqual(['a/1']));
  expect(await parked.resolutions({ limit: 10 })).toMatchObject([
    { action: 'skip', actor: 'ada', message: { id: 'a/0' } },
  ]);
});

test('a poison message is a dead letter after its first attempt', async () => {
  let attempts = 0;
  start({
    handle: async () => {
      attempts++;
      throw new PoisonMessage('It does not fit its schema.');
    },
  });
  await publish('a/0');
  await inTime(async () => expect(await parked.listDead(0n, 10)).toHaveLength(1));
  await clock.advance(3_600_000);
  expect(attempts).toBe(1);
  expect(dead).toEqual({ test: 1 });
});

test('a malformed message is a dead letter at once and after each retry, and never handled; once it is skipped, its key continues', async () => {
  start();
  const data = { reason: 'It has no ce_type header.', headers: {}, value: '{' };
  await bus.publish('test', [{ ...message('a', 0), type: MALFORMED, data }, message('a', 1), message('b', 0)]);
  const letter = async () => (await parked.listDead(0n, 10))[0];
  await inTime(async () => expect(await letter()).toMatchObject({ attempts: 1, message: { type: MALFORMED, data } }));
  expect((await letter())!.error).toContain('It has no ce_type header.');
  await decide('retry');
  await inTime(() => expect(dead).toEqual({ test: 2 }));
  await inTime(async () => expect(await letter()).toMatchObject({ attempts: 1, message: { type: MALFORMED, data } }));
  expect(handled).toEqual(['b/0']);
  await decide('skip');
  await inTime(() => expect(handled).toEqual(['b/0', 'a/1']));
});

test('an unknown message is skipped and counted, its key continues, and the log names each type once', async () => {
  const lines: object[] = [];
  start(
    {
      handle: async (message) => {
        if (message.type !== 'Tested') throw new SkippedMessage(`What is ${message.type}?`);
        await handle(message);
      },
    },
    { ...silentLog, info: (fields) => lines.push(fields) },
  );
  expect([skipped, dead]).toEqual([{ test: 0 }, { test: 0 }]);
  const types = ['Tested', 'Wrapped', 'Wrapped', 'Sealed', 'Tested'];
  await bus.publish(
    'test',
    types.map((type, n) => ({ ...message('a', n), type })),
  );
  await until(() => expect(handled).toEqual(['a/0', 'a/4']));
  expect([skipped, dead]).toEqual([{ test: 3 }, { test: 0 }]);
  expect(lines).toEqual([
    expect.objectContaining({ topic: 'test', type: 'Wrapped', messageId: 'a/1' }),
    expect.objectContaining({ topic: 'test', type: 'Sealed', messageId: 'a/3' }),
  ]);
  expect(await parked.parkedKeys('consumer', ['a'])).toBeUndefined();
});

test('keys are handled at the same time, messages of one key one after the other', async () => {
  const open = new Set<string>();
  const overlaps: string[] = [];
  let most = 0;
  const gate = new AbortController();
  start({
    handle: async ({ key, id }) => {
      if (open.has(key)) overlaps.push(key);
      open.add(key);
      most = Math.max(most, open.size);
      await new Promise<void>((resolve) => {
        if (gate.signal.aborted) resolve();
        gate.signal.addEventListener('abort', () => resolve());
      });
      open.delete(key);
      handled.push(id);
    },
  });
  await publish('a/0', 'b/0', 'c/0', 'a/1', 'b/1', 'c/1');
  await until(() => expect(open.size).toBe(3));
  gate.abort();
  await until(() => expect(handled).toHaveLength(6));
  expect(most).toBe(3);
  expect(overlaps).toEqual([]);
});

/** A bus with a batch under way for each of its partitions at the same time. */
class ConcurrentPartitions extends MemoryMessageBus {
  override async consume({ topics, handle, signal }: ConsumeOptions): Promise<void> {
    const deliver = async (messages: readonly Delivered[]) => {
      let done = 0;
      while (!signal.aborted) {
        const batch = messages.slice(done, done + 300);
        if (batch.length > 0) await handle(batch, new AbortController().signal);
        else await clock.sleep(10, signal);
        done += batch.length;
      }
    };
    await Promise.all(topics.flatMap((topic) => log.topic(topic)).map(deliver));
  }
}

test('a partition that hangs or fails does not hold up another', async () => {
  const [a, b] = [keyIn(0, 2), keyIn(1, 2)];
  const [opened, open] = gate();
  failing = new Set([`${a}/1`, `${b}/1`]);
  bus = new ConcurrentPartitions({ clock, log: (log = new MemoryLog(2)) });
  start({
    handle: async (delivered) => {
      if (delivered.id === `${a}/0`) await opened;
      await handle(delivered);
    },
  });
  await publish(`${a}/0`, `${a}/1`, `${a}/2`, `${b}/0`, `${b}/1`, `${b}/2`);
  await inTime(async () => expect(await parked.parkedKeys('consumer', [a, b])).toEqual(new Set([b])));
  await publish(`${b}/3`);
  await clock.advance(60_000);
  expect(handled).toEqual([`${b}/0`]);
  open();
  await inTime(async () => expect(await parked.parkedKeys('consumer', [a, b])).toEqual(new Set([a, b])));
  failing.clear();
  await inTime(() => expect(handled).toHaveLength(7));
  expect(handled.filter((id) => id.startsWith(a))).toEqual([`${a}/0`, `${a}/1`, `${a}/2`]);
  expect(handled.filter((id) => id.startsWith(b))).toEqual([`${b}/0`, `${b}/1`, `${b}/2`, `${b}/3`]);
});

test('at most 256 keys are handled at once, however many partitions there are', async () => {
  const [opened, open] = gate();
  let [atWork, most] = [0, 0];
  bus = new ConcurrentPartitions({ clock, log: (log = new MemoryLog(4)) });
  start({
    handle: async ({ id }) => {
      most = Math.max(most, ++atWork);
      await opened;
      atWork--;
      handled.push(id);
    },
  });
  await publish(...Array.from({ length: 1_000 }, (_, key) => `key${key}/0`));
  await inTime(() => expect(atWork).toBe(256));
  open();
  await inTime(() => expect(handled).toHaveLength(1_000));
  expect(most).toBe(256);
});

test('when a failed message cannot be parked, its batch is delivered again and nothing is dropped', async () => {
  let failures = 0;
  class Unreachable extends MemoryParkedMessages {
    override async park(...parameters: Parameters<MemoryParkedMessages['park']>): Promise<void> {
      if (++failures <= 3) throw new Error('The database is gone.');
      return super.park(...parameters);
    }
  }
  failing.add('a/0');
  start({ parked: new Unreachable() });
  await publish('a/0', 'a/1');
  await inTime(() => expect(failures).toBe(4));
  failing.clear();
  await inTime(() => expect(handled).toEqual(['a/0', 'a/1']));
});

test('when waiting messages cannot be parked, their batch is delivered again, but not while it is still being handled', async () => {
  let gone = false;
  class Unreachable extends MemoryParkedMessages {
    override async park(...parameters: Parameters<MemoryParkedMessages['park']>): Promise<void> {
      if (gone) throw new Error('The database is gone.');
      return super.park(...parameters);
    }
  }
  const [opened, open] = gate();
  let atWork = 0;
  failing.add('a/0');
  start({
    parked: new Unreachable(),
    handle: async (message) => {
      if (message.key === 'b') {
        atWork++;
        await opened;
      }
      await handle(message);
    },
  });
  await publish('a/0');
  await clock.advance(0);
  gone = true;
  await publish('a/1', 'b/0');
  await clock.advance(10_000);
  expect(atWork).toBe(1);
  open();
  [gone, failing] = [false, new Set()];
  await inTime(() => expect(handled.filter((id) => id.startsWith('a'))).toEqual(['a/0', 'a/1']));
  expect(handled).toContain('b/0');
});

test('a waiting key costs the others nothing: its messages are parked without a query', async () => {
  const parked = new (class extends MemoryParkedMessages {
    looks = 0;
    parks = 0;
    override async park(...parameters: Parameters<MemoryParkedMessages['park']>) {
      this.parks++;
      return super.park(...parameters);
    }
    override async due(...parameters: Parameters<MemoryParkedMessages['due']>) {
      this.looks++;
      return super.due(...parameters);
    }
  })();
  const waiting = async () => (await parked.parkedKeys('consumer', ['a']))?.size ?? 0;
  const [opened, open] = gate();
  failing.add('a/0');
  start({
    parked,
    maxAttempts: 1,
    handle: async (message) => {
      if (message.key === 'b') await opened;
      await handle(message);
    },
  });
  await publish('a/0');
  await inTime(async () => expect(await waiting()).toBe(1));
  await clock.advance(0);
  const before = parked.looks;
  for (let n = 1; n <= 50; n++) {
    await publish(`a/${n}`, `c/${n}`);
    await until(() => expect(handled).toContain(`c/${n}`));
  }
  expect(parked.looks).toBe(before);
  parked.parks = 0;
  await publish('a/51', 'b/0');
  await until(() => expect(parked.parks).toBe(1));
  expect(handled).not.toContain('b/0');
  open();
  await until(() => expect(handled).toContain('b/0'));
});

/** Parked lines that count what is asked of them. */
class CountedLines extends MemoryParkedMessages {
  asked = 0;
  override async due(...parameters: Parameters<MemoryParkedMessages['due']>) {
    this.asked++;
    return super.due(...parameters);
  }
  override async recordRetries(...parameters: Parameters<MemoryParkedMessages['recordRetries']>) {
    this.asked++;
    return super.recordRetries(...parameters);
  }
}

test('a line of 10,000 messages goes on as fast as they are handled: no time passes, and a statement is about many', async () => {
  const lines = new CountedLines();
  const waiting = Array.from({ length: 10_000 }, (_, n) => ({
    ...message('a', n),
    topic: 'test',
    partition: 0,
    offset: 0n,
  }));
  const behind = { attempts: 0, error: '', nextAttemptAt: clock.now() };
  await lines.park(
    'consumer',
    waiting.map((each) => ({ ...behind, message: each })),
    clock.now(),
  );
  start({ parked: lines });
  await until(() => expect(handled.length).toBe(10_000));
  expect(handled).toEqual(waiting.map(({ id }) => id));
  expect(lines.asked).toBeLessThan(250);
  expect(await lines.parkedKeys('consumer', ['a'])).toBeUndefined();
});

test('a line goes on while a message of another is being handled, and a line that begins meanwhile is retried, too', async () => {
  const [opened, open] = gate();
  failing = new Set(['a/0', 'b/0', 'c/0']);
  start({
    handle: async (delivered) => {
      await handle(delivered);
      if (delivered.id === 'b/0') await opened;
    },
  });
  await publish('a/0', 'b/0', ...Array.from({ length: 99 }, (_, n) => `a/${n + 1}`));
  await inTime(async () => expect(await parked.parkedKeys('consumer', ['a', 'b'])).toEqual(new Set(['a', 'b'])));
  failing = new Set(['c/0']);
  await inTime(() => expect(handled).toHaveLength(101), 5);
  await publish('c/0', 'b/1');
  await inTime(async () => expect(await parked.parkedKeys('consumer', ['c'])).toEqual(new Set(['c'])));
  failing = new Set();
  await inTime(() => expect(handled.at(-1)).toBe('c/0'), 5);
  open();
  await inTime(() => expect(handled.at(-1)).toBe('b/1'), 5);
});

test('a message that was published twice is parked once', async () => {
  failing.add('a/0');
  start();
  await publish('a/0', 'a/0', 'a/1');
  await clock.advance(0);
  await publish('a/0');
  await clock.advance(0);
  failing.clear();
  await inTime(() => expect(handled).toEqual(['a/0', 'a/1']));
});

test('a message that is parked just as its line empties is not left behind', async () => {
  // The consumer finds the key parked; before it parks its message, the retries empty the line.
  class Slow extends MemoryParkedMessages {
    override async parkedKeys(consumer: string, keys: readonly string[]) {
      const known = await super.parkedKeys(consumer, keys);
      if (known) await until(async () => expect(await super.parkedKeys(consumer, keys)).toBeUndefined());
      return known;
    }
  }
  failing.add('a/0');
  start({ parked: new Slow() });
  await publish('a/0');
  await clock.advance(0);
  failing.clear();
  await publish('a/1');
  await inTime(() => expect(handled).toEqual(['a/0', 'a/1']));
});

test('while no key has a line, no line is queried', async () => {
  let asked = 0;
  class Asked extends MemoryParkedMessages {
    override async parkedKeys(consumer: string, keys: readonly string[]) {
      asked++;
      return super.parkedKeys(consumer, keys);
    }
  }
  const lines = new Asked();
  start({ parked: lines });
  for (const n of [0, 1, 2]) {
    await publish(`a/${n}`);
    await until(() => expect(handled).toHaveLength(n + 1));
  }
  expect(asked).toBe(1);
  failing.add('a/3');
  await publish('a/3');
  await until(async () => expect(await lines.due('consumer', new Date(8.64e15), 1)).toHaveLength(1));
  await publish('b/0');
  await until(() => expect(handled.at(-1)).toBe('b/0'));
  expect(asked).toBe(2);
});

test('a query that was answered before a line was created does not hide it', async () => {
  const [a, b] = [keyIn(0, 2), keyIn(1, 2)];
  const [opened, open] = gate();
  class Late extends MemoryParkedMessages {
    override async parkedKeys(consumer: string, keys: readonly string[]) {
      const known = await super.parkedKeys(consumer, keys);
      if (keys.includes(a)) await opened;
      return known;
    }
  }
  bus = new ConcurrentPartitions({ clock, log: (log = new MemoryLog(2)) });
  parked = new Late();
  failing.add(`${b}/0`);
  start();
  await publish(`${a}/0`, `${b}/0`);
  await inTime(async () => expect(await parked.parkedKeys('consumer', [b])).toEqual(new Set([b])));
  open();
  await inTime(() => expect(handled).toEqual([`${a}/0`]));
  await publish(`${b}/1`);
  await clock.advance(60_000);
  expect(handled).toEqual([`${a}/0`]);
});

test('an instance that takes over partitions finds the lines that the previous owner left', async () => {
  const leaving = new AbortController();
  const keys = Array.from({ length: 20 }, (_, i) => `key${i}`);
  const keysOfOne = new Set<string>();
  const handleAsOne = (delivered: Delivered) => {
    keysOfOne.add(delivered.key);
    return handle(delivered);
  };
  start({ bus: new MemoryMessageBus({ clock, log }), handle: handleAsOne, signal: leaving.signal });
  start();
  await until(() => expect(log.subscription('consumer', 'test').members).toHaveLength(2));
  await publish(...keys.map((key) => `${key}/0`));
  await until(() => expect(handled).toHaveLength(20));
  expect(keysOfOne.size).toBeGreaterThan(0);
  expect(keysOfOne.size).toBeLessThan(20);

  const [key] = keysOfOne;
  failing.add(`${key}/1`);
  await publish(`${key}/1`);
  await until(async () => expect(await parked.parkedKeys('consumer', [key!])).toEqual(new Set([key])));
  leaving.abort();
  await running[0];
  await publish(...keys.map((it) => `${it}/2`));
  await until(() => expect(handled).toHaveLength(39));
  expect(handled).not.toContain(`${key}/2`);
  failing.clear();
  await inTime(() => expect(handled.slice(39)).toEqual([`${key}/1`, `${key}/2`]));
});

test.each(
  [1, 2, 3, 4, 5].flatMap((seed) =>
    (['two instances', 'concurrent partitions'] as const).map((has) => [has, seed] as const),
  ),
)('with random failures and %s, every key keeps its order (seed %i)', async (instances, seed) => {
  if (instances === 'concurrent partitions') bus = new ConcurrentPartitions({ clock, log: (log = new MemoryLog(4)) });
  const random = new SeededRandom(seed);
  const done = new Map<string, number[]>();
  const flaky = async (delivered: Delivered) => {
    await clock.sleep(Math.floor(random.next() * 20));
    if (random.next() < 0.3) throw new Error('by chance');
    const numbers = done.get(delivered.key) ?? [];
    done.set(delivered.key, [...numbers, numberOf(delivered)]);
  };
  start({ handle: flaky, maxAttempts: 50 });
  if (instances === 'two instances')
    start({ handle: flaky, maxAttempts: 50, bus: new MemoryMessageBus({ clock, log }) });
  const keys = Array.from({ length: 20 }, (_, i) => `key${i}`);
  for (let n = 0; n < 10; n += 2) {
    await publish(...keys.map((key) => `${key}/${n}`), ...keys.map((key) => `${key}/${n + 1}`));
    await clock.advance(Math.floor(random.next() * 1_000));
  }
  await inTime(() => expect([...done.values()].flat()).toHaveLength(200), 10_000);
  for (const key of keys) expect(done.get(key), key).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

/** What opens when `open` is called. */
function gate(): [opened: Promise<void>, open: () => void] {
  let open = () => {};
  return [new Promise((resolve) => (open = resolve)), () => open()];
}

/** A key of a partition, of `partitions`. */
function keyIn(partition: number, partitions: number): string {
  return ['a', 'b', 'c', 'd', 'e', 'f'].find((key) => partitionOf(key, partitions) === partition)!;
}

async function decide(action: 'retry' | 'skip'): Promise<void> {
  const [letter] = await parked.listDead(0n, 1);
  await parked.resolve(letter!.id, { id: 'd', action, actor: 'ada', reason: 'looked at', at: clock.now() });
}
