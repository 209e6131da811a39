/** How a page listens, in a browser whose stream says what each test has it say. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { StreamEvents } from '../../gateway/src/api.js';
import type { Change } from './stream.js';

class Stream extends EventTarget {
  static readonly CLOSED = 2;
  readyState = 0;

  constructor(readonly url: string) {
    super();
    streams.push(this);
  }

  close(): void {
    this.readyState = Stream.CLOSED;
  }

  say<Name extends keyof StreamEvents>(name: Name, data: StreamEvents[Name], lastEventId = 'order:7'): void {
    this.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(data), lastEventId }));
  }

  begin(away: readonly string[] = []): void {
    this.readyState = 1;
    this.say('begin', {});
    this.say('away', { services: away });
  }

  /** As a browser does that tries again by itself, or not. */
  fail({ isOver }: { isOver: boolean }): void {
    this.readyState = isOver ? Stream.CLOSED : 0;
    this.dispatchEvent(new Event('error'));
  }
}

/** Each test opens a page of its own. */
let page: typeof import('./stream.js') & typeof import('./gateway.js');
let streams: Stream[];
let isAway: boolean;
let asked: number;
let changes: Change[];
const last = () => streams.at(-1)!;
const caller = { subject: 'ada', name: 'Ada', roles: [], may: ['GET /stream'] };

beforeEach(async () => {
  vi.useFakeTimers();
  [streams, isAway, asked, changes] = [[], false, 0, []];
  vi.stubGlobal('EventSource', Stream);
  vi.stubGlobal('document', Object.assign(new EventTarget(), { hidden: false }));
  vi.stubGlobal('Request', class {});
  vi.stubGlobal('fetch', async () => {
    asked++;
    if (isAway) throw new DOMException('', 'TimeoutError');
    return Response.json({ caller });
  });
  vi.resetModules();
  page = { ...(await import('./stream.js')), ...(await import('./gateway.js')) };
  page.onChange((change) => changes.push(change));
  page.session.value = { caller };
  page.listenToShop();
});
afterEach(async () => {
  page.session.value = {};
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test('as long as it says something every five seconds nothing else is asked', async () => {
  last().begin();
  for (let i = 0; i < 20; i++) {
    await vi.advanceTimersByTimeAsync(5_000);
    last().say('beat', {});
  }
  expect([page.isTold.value, streams.length, asked]).toEqual([true, 1, 0]);
});

test('a gateway that falls silent is noticed within eight seconds, and the page goes on where it was', async () => {
  last().begin();
  last().say('beat', {}, 'order:9');
  isAway = true;
  await vi.advanceTimersByTimeAsync(8_000);
  expect([page.isTold.value, page.silentSince.value]).toEqual([false, expect.any(Number)]);
  expect(streams.map(({ readyState }) => readyState)).toEqual([Stream.CLOSED, 0]);
  isAway = false;
  last().begin();
  expect([page.isTold.value, page.silentSince.value, last().url]).toEqual([true, undefined, '/stream?after=order%3A9']);
});

test('one that never answers is asked again and again', async () => {
  isAway = true;
  await vi.advanceTimersByTimeAsync(24_000);
  expect(streams.length).toBe(4);
  expect(streams.slice(0, 3).every(({ readyState }) => readyState === Stream.CLOSED)).toBe(true);
});

test('a connection that breaks is noticed at once, and whether the gateway is away is asked', async () => {
  last().begin();
  last().fail({ isOver: false });
  await vi.advanceTimersByTimeAsync(0);
  expect([page.isTold.value, asked, page.silentSince.value]).toEqual([false, 1, undefined]);
  isAway = true;
  last().fail({ isOver: false });
  await vi.advanceTimersByTimeAsync(0);
  expect(page.silentSince.value).toEqual(expect.any(Number));
});

test('after a refusal it is opened anew after five seconds, and all is read anew', async () => {
  last().begin();
  last().fail({ isOver: true });
  await vi.advanceTimersByTimeAsync(5_000);
  expect([streams.length, last().url]).toEqual([2, '/stream']);
  changes = [];
  last().begin();
  expect(changes).toContainEqual({ everything: true });
});

test('while a service cannot be followed, what it does is asked for', () => {
  last().begin(['payment']);
  expect(page.isTold.value).toBe(false);
  last().say('away', { services: [] });
  expect(page.isTold.value).toBe(true);
});
