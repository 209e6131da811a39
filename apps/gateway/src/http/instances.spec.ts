/** Which instances get requests: where they are, whether they are ready, and what a slow or failing look does. */
import type { Agent } from 'undici';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { silentLog } from '#runtime';
import { ManualClock } from '#runtime/testing';
import { Instances, type Lookup } from './instances.js';

/** What each instance says of its readiness, by its URL. Of any other, the connection is refused. */
let says: Map<string, (signal: AbortSignal) => Promise<number>>;
let asked: { url: string; host: string }[];
let clock: ManualClock;

const agent = {
  request: async ({ origin, path, headers, signal }: any) => {
    expect(path).toBe('/health/ready');
    asked.push({ url: origin, host: headers.host });
    const say = says.get(origin);
    if (!say) throw Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
    return { statusCode: await say(signal), body: { dump: async () => {} } };
  },
} as unknown as Agent;

const ready = () => Promise.resolve(200);
const silent = () => new Promise<never>(() => {});

beforeEach(() => {
  says = new Map();
  asked = [];
  clock = new ManualClock();
});

function instancesAt(
  order: string[],
  lookup: Lookup = () => Promise.reject(new Error('unknown name')),
  log = silentLog,
) {
  const urls = { order, inventory: ['http://10.0.1.1:3002'], payment: ['http://10.0.2.1:3003'] };
  return new Instances(urls, { clock, log, agent, lookup });
}

const urlsOf = (instances: Instances) => instances.ready('order').map(({ url }) => url);

test('only instances that are ready get requests, each in its turn, whatever other services are asked meanwhile', async () => {
  says.set('http://10.0.0.1:3001', ready).set('http://10.0.0.2:3001', () => Promise.resolve(503));
  says.set('http://10.0.0.3:3001', ready).set('http://10.0.1.1:3002', ready);
  const instances = instancesAt(['http://10.0.0.1:3001', 'http://10.0.0.2:3001', 'http://10.0.0.3:3001']);
  await instances.look();
  const turns = Array.from({ length: 4 }, () => {
    instances.next('inventory');
    return instances.next('order')!.url;
  });
  expect(turns).toEqual([1, 3, 1, 3].map((n) => `http://10.0.0.${n}:3001`));
  expect(instances.next('payment')).toBeUndefined();
});

test('the log has when an instance becomes ready and when it no longer is, and not what it goes through until then', async () => {
  const said: string[] = [];
  const note = (_fields: object, text: string) => void said.push(text);
  const instances = instancesAt(['http://10.0.0.1:3001'], undefined, { ...silentLog, info: note, warn: note });
  const answers = [undefined, 503, undefined, 503, 200, 200, 503, undefined, 200];
  for (const status of answers) {
    if (status === undefined) says.delete('http://10.0.0.1:3001');
    else says.set('http://10.0.0.1:3001', () => Promise.resolve(status));
    await instances.look();
    said.push(String(status));
  }
  const [is, isNot] = ['An instance is ready.', 'An instance is no longer ready.'];
  expect(said.join()).toBe(`undefined,503,undefined,503,${is},200,200,${isNot},503,undefined,${is},200`);
});

test('a name stands for all of its addresses, which are asked for anew at each look, and is what they are called by', async () => {
  let addresses = ['10.0.0.1', 'fd00::2'];
  for (const host of ['10.0.0.1', '[fd00::2]', '10.0.0.3']) says.set(`http://${host}:3001`, ready);
  const instances = instancesAt(['http://order:3001'], (name) => Promise.resolve(name === 'order' ? addresses : []));
  await instances.look();
  expect(urlsOf(instances)).toEqual(['http://10.0.0.1:3001', 'http://[fd00::2]:3001']);
  expect(asked).toContainEqual({ url: 'http://[fd00::2]:3001', host: 'order:3001' });
  const [first] = instances.ready('order');

  addresses = ['10.0.0.3', '10.0.0.1'];
  await instances.look();
  expect(urlsOf(instances)).toEqual(['http://10.0.0.3:3001', 'http://10.0.0.1:3001']);
  expect(instances.ready('order')).toContain(first);
});

test('addresses and https: URLs are not asked for', async () => {
  const lookup = vi.fn<Lookup>();
  says.set('https://order.example', ready).set('http://[::1]:3001', ready);
  const instances = instancesAt(['https://order.example', 'http://[::1]:3001'], lookup);
  await instances.look();
  expect(urlsOf(instances)).toEqual(['https://order.example', 'http://[::1]:3001']);
  expect(lookup).not.toHaveBeenCalled();
});

describe('while the DNS', () => {
  test('fails, a name keeps the addresses that it had', async () => {
    const lookup = vi.fn<Lookup>().mockResolvedValueOnce(['10.0.0.1']).mockRejectedValue(new Error('SERVFAIL'));
    says.set('http://10.0.0.1:3001', ready);
    const instances = instancesAt(['http://order:3001'], lookup);
    await instances.look();
    await instances.look();
    expect(lookup).toHaveBeenCalledTimes(2);
    expect(urlsOf(instances)).toEqual(['http://10.0.0.1:3001']);
  });

  test('does not answer, it is not asked again, and the instances are looked at', async () => {
    const lookup = vi.fn<Lookup>().mockResolvedValueOnce(['10.0.0.1']).mockImplementation(silent);
    says.set('http://10.0.0.1:3001', ready);
    const instances = instancesAt(['http://order:3001'], lookup);
    await instances.look();
    says.delete('http://10.0.0.1:3001');
    for (let look = 0; look < 3; look++) {
      const looked = instances.look();
      await clock.advance(1_000);
      await looked;
    }
    expect(lookup).toHaveBeenCalledTimes(2);
    expect(urlsOf(instances)).toEqual([]);
  });
});

test('an instance that does not say in a second that it is ready is not, and is asked no longer', async () => {
  let given!: AbortSignal;
  says.set('http://10.0.0.1:3001', (signal) => ((given = signal), silent()));
  const instances = instancesAt(['http://10.0.0.1:3001']);
  const looked = instances.look();
  await clock.advance(999);
  expect(given.aborted).toBe(false);
  await clock.advance(1);
  await looked;
  expect(given.aborted).toBe(true);
  expect(urlsOf(instances)).toEqual([]);
});

test('looks at a silent service neither pile up nor delay those at another', async () => {
  says.set('http://10.0.0.1:3001', silent).set('http://10.0.1.1:3002', ready).set('http://10.0.2.1:3003', ready);
  const instances = instancesAt(['http://10.0.0.1:3001']);
  const stop = new AbortController();
  const watching = instances.watch(stop.signal);
  await clock.advance(10_000);
  const looks = (url: string) => asked.filter((each) => each.url === url).length;
  // A second for the look, and one until the next.
  expect([looks('http://10.0.0.1:3001'), looks('http://10.0.1.1:3002')]).toEqual([6, 11]);
  stop.abort();
  await clock.advance(1_000);
  await watching;
});

test('while none is ready, those that are there get requests, and none that refuses them', async () => {
  says.set('http://10.0.0.1:3001', silent).set('http://10.0.0.2:3001', () => Promise.resolve(503));
  const instances = instancesAt([1, 2, 3].map((n) => `http://10.0.0.${n}:3001`));
  const looked = instances.look();
  await clock.advance(1_000);
  await looked;
  expect(urlsOf(instances)).toEqual([]);
  expect([instances.canReach('order'), instances.canReach('payment')]).toEqual([true, false]);
  const turns = Array.from({ length: 4 }, () => instances.next('order')!.url);
  expect(new Set(turns)).toEqual(new Set(['http://10.0.0.1:3001', 'http://10.0.0.2:3001']));
  says.set('http://10.0.0.2:3001', ready);
  const again = instances.look();
  await clock.advance(1_000);
  await again;
  expect(instances.next('order')!.url).toBe('http://10.0.0.2:3001');
  expect(instances.next('order', new Set(instances.ready('order')))!.url).toBe('http://10.0.0.1:3001');
  instances.takeOut(instances.ready('order')[0]!);
  expect(instances.next('order')!.url).toBe('http://10.0.0.1:3001');
});

test('an instance that is taken out gets no requests until it is found ready again', async () => {
  says.set('http://10.0.0.1:3001', ready).set('http://10.0.0.2:3001', ready);
  const instances = instancesAt(['http://10.0.0.1:3001', 'http://10.0.0.2:3001']);
  await instances.look();
  instances.takeOut(instances.next('order')!);
  expect(urlsOf(instances)).toEqual(['http://10.0.0.2:3001']);
  await instances.look();
  expect(urlsOf(instances)).toHaveLength(2);
});
