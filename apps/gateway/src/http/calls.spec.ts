/** What becomes of a call when instances are away, break off, hang or are slow, and what it costs the other callers. */
import type { Agent } from 'undici';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LittleService } from '#test/little-service';
import { silentLog } from '#runtime';
import { ManualClock } from '#runtime/testing';
import { type Call, Calls, openConnections, type Outcome, type ServiceAnswer, Waiter } from './calls.js';
import { Instances } from './instances.js';

let clock: ManualClock;
let agent: Agent;
let littles: LittleService[];
let instances: Instances;
let calls: Calls;
let outcomes: Outcome[];

/** As many instances of order; the other services have none. */
async function open(count: number, connections: Agent = agent): Promise<void> {
  littles = await Promise.all(Array.from({ length: count }, () => LittleService.open()));
  const urls = { order: littles.map(({ url }) => url), inventory: [], payment: [] };
  instances = new Instances(urls, { clock, log: silentLog, agent });
  calls = new Calls(instances, {
    clock,
    log: silentLog,
    agent: connections,
    count: ({ outcome }) => void outcomes.push(outcome),
  });
  await instances.look();
}

beforeEach(() => {
  clock = new ManualClock();
  agent = openConnections({ silentMs: 50 });
  littles = [];
  outcomes = [];
});
afterEach(async () => {
  await agent.destroy();
  await Promise.all(littles.map((little) => little.close()));
});

const call = (changes: Partial<Call> = {}): Promise<ServiceAnswer> =>
  calls.call({
    service: 'order',
    method: 'GET',
    path: '/orders',
    headers: [],
    caller: 'Ada',
    withinMs: 2_000,
    waiter: new Waiter(),
    ...changes,
  });

const write = { method: 'POST', body: Buffer.from('{}') };

const read = async (answer: Promise<ServiceAnswer>) => {
  const { body } = await answer;
  return Buffer.isBuffer(body) ? body.toString() : text(body);
};

/** How often each instance was sent something. */
const sent = () => littles.map(({ seen }) => seen.length);

const unavailable = { status: 503, code: 'unavailable', headers: { 'retry-after': '1' }, extras: { service: 'order' } };

/** Resolves when so many requests are at the instances. */
const arrived = (count: number) => expect.poll(() => sent().reduce((a, b) => a + b)).toBe(count);

describe('an instance whose process is gone', () => {
  test('is out at once, and what was not sent is sent to another, also a write', async () => {
    await open(3);
    await Promise.all([littles[0]!.close(), littles[1]!.close()]);
    for (let i = 0; i < 3; i++) expect(await read(call(write))).toBe('{"is":"whole"}');
    expect(sent()).toEqual([0, 0, 3]);
    expect(outcomes.filter((each) => each === 'unreachable')).toHaveLength(2);
    expect(instances.ready('order')).toHaveLength(1);
  });

  test('and none beside it: 503 that names the service, and the next call is not even tried', async () => {
    await open(1);
    await littles[0]!.close();
    await expect(call(write)).rejects.toMatchObject(unavailable);
    await expect(call()).rejects.toMatchObject({
      ...unavailable,
      message: 'No instance of order can be reached. Try again.',
    });
    expect(outcomes).toEqual(['unreachable', 'not-made']);
  });
});

test('whoever gives up after the answer was read interrupts nothing any longer', async () => {
  await open(1);
  const waiter = new Waiter();
  await read(call({ waiter }));
  expect(waiter.onGone).toBeUndefined();
});

describe('an instance that breaks off before it answers', () => {
  const breaksOff: LittleService['answer'] = (response) => response.destroy();

  test('has a read asked of another', async () => {
    await open(2);
    littles[0]!.answer = breaksOff;
    expect(await read(call())).toBe('{"is":"whole"}');
    expect(outcomes).toEqual(['broken', 'answered']);
  });

  test('has a read asked of one other, and not of more', async () => {
    await open(3);
    for (const little of littles) little.answer = breaksOff;
    await expect(call()).rejects.toMatchObject(unavailable);
    expect(sent().filter((count) => count === 1)).toHaveLength(2);
  });

  test.each(['POST', 'PUT', 'DELETE'])('may have done what a %s asked for: nobody is asked again', async (method) => {
    await open(2);
    for (const little of littles) little.answer = breaksOff;
    await expect(call({ ...write, method })).rejects.toMatchObject(unavailable);
    expect(sent()).toEqual([1, 0]);
    expect(outcomes).toEqual(['broken']);
  });
});

describe('an instance that hangs', () => {
  const hangs: LittleService['answer'] = () => {};

  test('has a read asked of another when its time is over', async () => {
    await open(2);
    littles[0]!.answer = hangs;
    const answer = read(call());
    await arrived(1);
    await clock.advance(1_999);
    expect(outcomes).toEqual([]);
    await clock.advance(1);
    expect(await answer).toBe('{"is":"whole"}');
    expect(outcomes).toEqual(['timeout', 'answered']);
  });

  test('has a write answered with 503, and nobody is asked again', async () => {
    await open(2);
    littles[0]!.answer = hangs;
    const refused = expect(call(write)).rejects.toMatchObject(unavailable);
    await arrived(1);
    await clock.advance(2_000);
    await refused;
    expect(sent()).toEqual([1, 0]);
  });

  test('or breaks off in the middle of a short answer has a read asked of another, and a write answered with 503', async () => {
    await open(2);
    const half: LittleService['answer'] = (response) => {
      response.setHeader('content-length', 100).write('half', () => response.destroy());
    };
    littles[0]!.answer = half;
    expect(await read(call())).toBe('{"is":"whole"}');
    littles[1]!.answer = half;
    await expect(call(write)).rejects.toMatchObject(unavailable);
    expect(outcomes).toEqual(['broken', 'answered', 'broken']);
  });

  test('in the middle of a long answer breaks the answer', async () => {
    await open(1);
    littles[0]!.answer = (response) => response.setHeader('content-length', 100_000).write('half');
    await expect(read(call())).rejects.toThrow();
    expect(outcomes).toEqual(['answered']);
  });

  test('with a short answer that comes in drops has no more time for it', async () => {
    await open(1);
    littles[0]!.answer = async (response) => {
      response.setHeader('content-length', 100);
      while (!response.destroyed) {
        response.write('.');
        await new Promise((soon) => setTimeout(soon, 10));
      }
    };
    const refused = expect(call()).rejects.toMatchObject(unavailable);
    await arrived(1);
    await clock.advance(2_000);
    await refused;
    expect(outcomes).toEqual(['timeout']);
  });
});

describe('the circuit', () => {
  const late = async () => {
    const before = outcomes.length;
    const refused = expect(call(write)).rejects.toMatchObject(unavailable);
    await arrived(before + 1);
    await clock.advance(2_000);
    await refused;
    return outcomes.slice(before);
  };

  async function openIt(): Promise<void> {
    littles[0]!.answer = () => {};
    for (let i = 0; i < 10; i++) {
      expect(calls.isOpen('order')).toBe(false);
      expect(await late()).toEqual(['timeout']);
    }
    expect(calls.isOpen('order')).toBe(true);
  }

  test('opens after ten failures in a row; then one call a second is made, and others are refused without waiting for it', async () => {
    await open(1);
    await openIt();
    await expect(call()).rejects.toMatchObject({ ...unavailable, message: /has failed too often/ });
    expect(sent()).toEqual([10]);

    await clock.advance(1_000);
    const tried = expect(call()).rejects.toMatchObject(unavailable);
    await arrived(11);
    await expect(call()).rejects.toMatchObject({ ...unavailable, message: /has failed too often/ });
    await clock.advance(2_000);
    await tried;
    expect(calls.isOpen('order')).toBe(true);
  });

  test('is closed by the first call that succeeds', async () => {
    await open(1);
    await openIt();
    littles[0]!.answer = (response) => response.writeHead(404).end();
    await clock.advance(1_000);
    expect((await call()).status).toBe(404);
    expect(calls.isOpen('order')).toBe(false);
    expect((await call()).status).toBe(404);
  });

  test('is not opened by what a service answers, however bad', async () => {
    await open(1);
    littles[0]!.answer = (response) => response.writeHead(500).end();
    for (let i = 0; i < 20; i++) expect((await call(write)).status).toBe(500);
    expect(calls.isOpen('order')).toBe(false);
  });

  test('is not opened by callers who give up, whose calls are ended at the instance', async () => {
    await open(1);
    let ended = 0;
    littles[0]!.answer = (response) => void response.on('close', () => ended++);
    for (let i = 1; i <= 20; i++) {
      const waiter = new Waiter();
      const refused = expect(call({ ...write, waiter })).rejects.toThrow();
      await arrived(i);
      waiter.leave();
      await refused;
    }
    expect(calls.isOpen('order')).toBe(false);
    await expect.poll(() => ended).toBe(20);
  });
});

describe('places', () => {
  test('however many calls of one caller hang, another calls at once; a line that is full is refused', async () => {
    let made = 0;
    const connections = { dispatch: () => made++ } as unknown as Agent;
    await open(1, connections);
    const waiters: Waiter[] = [];
    const hang = (caller: string) => {
      const waiter = new Waiter();
      waiters.push(waiter);
      return call({ caller, waiter });
    };
    const hanging = Array.from({ length: 113 + 512 }, () => hang('Ada').catch(() => 'given up'));
    await clock.advance(0);
    expect(made).toBeLessThan(200); // Of 1,024, because others may come.
    const before = made;
    void hang('Grace').catch(() => {});
    await clock.advance(0);
    expect(made).toBe(before + 1);
    await expect(Promise.all(Array.from({ length: 20 }, () => hang('Ada')))).rejects.toMatchObject({
      status: 503,
      code: 'busy',
      extras: { service: 'order' },
    });
    for (const waiter of waiters) waiter.leave();
    expect(new Set(await Promise.all(hanging))).toEqual(new Set(['given up']));
  });

  test('are taken until the answer has been read, or its reader has gone', async () => {
    await open(1);
    littles[0]!.answer = (response) => void response.writeHead(200).end('of unknown length');
    const bodies = async (count: number) => {
      const answers = await Promise.all(Array.from({ length: count }, () => call()));
      return answers.map(({ body }) => body as Readable);
    };
    const first = await bodies(60);
    const more = bodies(100);
    await expect.poll(() => sent()[0]).toBe(114);
    await clock.advance(0);
    expect(sent()).toEqual([114]);
    for (const body of first.slice(0, 30)) body.resume();
    for (const body of first.slice(30)) body.destroy();
    for (const body of await more) body.resume();
    expect(sent()).toEqual([160]);
  });
});
