/** How pages ask a gateway that is away: `fetch` of the browser fails as each test has it. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ask, askAll, loadSession, NoAnswer, session, silentSince } from './gateway.js';

const URL_OF_PAGE = 'http://localhost:3000';
const NOW_MS = Date.parse('2027-01-01T12:00:00Z');

let asked: Request[];
let answer: (request: Request) => Promise<Response>;

const refuse = () => Promise.reject(new TypeError('Failed to fetch'));
const beSilent = () => Promise.reject(new DOMException('The signal timed out.', 'TimeoutError'));
const json = (body: object) => async () => Response.json(body);

beforeEach(async () => {
  vi.useFakeTimers({ now: NOW_MS });
  // A page asks its own origin.
  vi.stubGlobal(
    'Request',
    class extends Request {
      constructor(input: RequestInfo, init?: RequestInit) {
        super(typeof input === 'string' ? new URL(input, URL_OF_PAGE) : input, init);
      }
    },
  );
  asked = [];
  answer = json({});
  vi.stubGlobal('fetch', (request: Request, { signal }: RequestInit) => {
    expect(signal).toBeInstanceOf(AbortSignal); // No answer is awaited for ever.
    asked.push(request);
    return answer(request);
  });
  await ask('/session');
});
afterEach(async () => {
  answer = json({});
  await vi.runAllTimersAsync(); // It is asked no more.
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test.each([
  ['refuses', refuse, 'The gateway cannot be reached.'],
  ['is silent', beSilent, 'The gateway does not answer.'],
])('a gateway that %s is said to be away, since when it was heard last', async (_, away, words) => {
  answer = away;
  await vi.advanceTimersByTimeAsync(5_000);
  const failure = await ask('/flow').catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(NoAnswer);
  expect(failure).toMatchObject({ message: words });
  expect(silentSince.value).toBe(NOW_MS);
});

test('an answer that breaks off is none', async () => {
  const broken = new ReadableStream({
    start(body) {
      body.enqueue(new TextEncoder().encode('{"items":['));
    },
    pull: (body) => body.error(new TypeError('network error')),
  });
  answer = async () => new Response(broken);
  await expect(ask('/orders')).rejects.toThrow('The gateway cannot be reached.');
});

test('what was to be done says that it may have been, and can be asked for again', async () => {
  answer = beSilent;
  const write = ask('/order/admin/attention/o', { method: 'POST', body: {} });
  await expect(write).rejects.toThrow(/^The gateway does not answer. It is not known whether this was done\. You can/);
});

test('it is asked every two seconds until it answers, by one timer, and then no more', async () => {
  answer = refuse;
  await Promise.allSettled([ask('/flow'), ask('/prices'), ask('/flow')]);
  asked = [];
  await vi.advanceTimersByTimeAsync(6_000);
  expect(asked.map(({ url }) => new URL(url).pathname)).toEqual(['/session', '/session', '/session']);
  answer = json({ csrf: 'another' });
  await vi.advanceTimersByTimeAsync(2_000);
  expect([silentSince.value, session.value]).toEqual([undefined, { csrf: 'another' }]);
  asked = [];
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toEqual([]);
});

test('nobody is logged out by it, nor by a provider that is away', async () => {
  const caller = { subject: 'ada', name: 'Ada', roles: ['customer'], may: [] };
  session.value = { caller };
  answer = refuse;
  await expect(loadSession()).rejects.toThrow(NoAnswer);
  answer = async () => Response.json({ code: 'issuer-unavailable', detail: 'Try again.' }, { status: 503 });
  await expect(loadSession()).rejects.toThrow('Try again.');
  expect([session.value, silentSince.value]).toEqual([{ caller }, undefined]);
});

test('of several services, one that is away is named, and without the gateway there is no answer of any', async () => {
  const read = async (service: string) => ask<object>(`/${service}/admin/dead-letters`);
  const unlessPayment = (failure: () => Promise<Response>) => (request: Request) =>
    request.url.includes('/payment/') ? failure() : json({})();
  answer = unlessPayment(async () => Response.json({ code: 'unavailable', detail: 'Away.' }, { status: 503 }));
  const { found, away } = await askAll(['order', 'payment'], read);
  expect([found.map(({ service }) => service), away.map(({ service }) => service)]).toEqual([['order'], ['payment']]);
  answer = unlessPayment(refuse);
  await expect(askAll(['order', 'payment'], read)).rejects.toThrow(NoAnswer);
});
