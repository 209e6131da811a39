import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NotFound } from '#decider';
import { payment, type PaymentCommand, type PaymentEvent } from './domain/payment.js';
import type { ProviderPayment } from './provider.js';
import { commandOf, sign, verify, webhook } from './webhook.js';

const now = new Date('2026-01-01T00:00:00Z');
const later = (ms: number) => new Date(now.getTime() + ms);
const body = JSON.stringify({ id: 'w1', note: 'grüße' });
const header = sign(body, 'secret', now);
const v1 = (signed: string) => signed.split(',')[1];

test('a signature is the HMAC-SHA256 of time and body', () => {
  // printf '1767225600.hello' | openssl dgst -sha256 -hmac secret
  expect(sign('hello', 'secret', now)).toBe(
    't=1767225600,v1=39fa52a7c3039d31e438bc7903e1ba5bb9f957ff110f46ff8c533dcb04ad804f',
  );
});

test('a signed body is accepted, as text and as the bytes that came over the wire', () => {
  expect(verify(body, header, ['secret'], now)).toBe('ok');
  expect(verify(Buffer.from(body), header, ['secret'], now)).toBe('ok');
});

test('a signature for another body, secret or time is forged', () => {
  expect(verify(`${body} `, header, ['secret'], now)).toBe('forged');
  expect(verify(body, header, ['other'], now)).toBe('forged');
  expect(verify(body, header.replace('t=1767225600', 't=1767225601'), ['secret'], now)).toBe('forged');
});

test('a signature is good for five minutes, before and after, and then stale', () => {
  expect(verify(body, header, ['secret'], later(300_000))).toBe('ok');
  expect(verify(body, header, ['secret'], later(300_001))).toBe('stale');
  expect(verify(body, header, ['secret'], later(-300_001))).toBe('stale');
  expect(verify(body, header, ['secret'], later(2_000), 1_000)).toBe('stale');
});

test('a forged request is called forged, however old', () =>
  expect(verify('{}', header, ['secret'], later(600_000))).toBe('forged'));

test('one matching signature is enough while a secret is being changed', () => {
  const both = `${header},${v1(sign(body, 'new secret', now))}`;
  expect(verify(body, both, ['secret'], now)).toBe('ok');
  expect(verify(body, both, ['new secret'], now)).toBe('ok');
  expect(verify(body, both, ['older secret'], now)).toBe('forged');
});

test('the receiver accepts two secrets while one replaces the other, wherever it stands', () => {
  expect(verify(body, header, ['new secret', 'secret'], now)).toBe('ok');
  expect(verify(body, header, ['secret', 'new secret'], now)).toBe('ok');
  expect(verify(body, header, ['new secret', 'older secret'], now)).toBe('forged');
  expect(verify(body, header, ['new secret', 'secret'], later(300_001))).toBe('stale');
});

test.each([
  undefined,
  '',
  't=1767225600',
  v1(header),
  `t=,${v1(header)}`,
  `t=today,${v1(header)}`,
  `t=-1,${v1(header)}`,
  `t=1,${header}`,
  't=1767225600,v1=',
  't=1767225600,v1=abc',
  `${header}zz`,
  header.replace('v1', 'v0'),
])('the header %s is malformed', (given) => expect(verify(body, given, ['secret'], now)).toBe('malformed'));

test('a webhook carries the state of a payment', () => {
  const data = { orderId: '00000000-0000-4000-8000-000000000001', status: 'declined', reason: 'declined' };
  const given = { id: 'w1', type: 'payment.declined', createdAt: now.toISOString(), data };
  expect(webhook.parse(given)).toEqual(given);
  expect(webhook.safeParse({ ...given, data: { ...data, orderId: 'o1' } }).success).toBe(false);
});

test('a webhook whose type and status disagree is refused, and the answer names them', () => {
  const data = { orderId: '00000000-0000-4000-8000-000000000001', status: 'voided' };
  const { error } = webhook.safeParse({ id: 'w1', type: 'payment.captured', createdAt: now.toISOString(), data });
  expect(error?.issues).toContainEqual({
    code: 'custom',
    path: ['data', 'status'],
    message: 'A webhook of the type payment.captured has another status.',
  });
});

test.each(['payment.lost', 'charge.updated', 'constructor'])('a webhook of the unknown kind %s is read', (type) => {
  const given = { id: 'w1', type, createdAt: now.toISOString(), data: { anything: [1, 2] } };
  expect(webhook.parse(given)).toEqual({ ...given, data: undefined });
});

test('a dispute says so, whatever the status of what is disputed', () => {
  const orderId = '00000000-0000-4000-8000-000000000001';
  const given = {
    id: 'w1',
    type: 'payment.disputed',
    createdAt: now.toISOString(),
    data: { orderId, status: 'captured' },
  };
  expect(webhook.parse(given).data).toEqual({ orderId, status: 'disputed' });
});

describe('what a webhook does to a payment', () => {
  const orderId = '00000000-0000-4000-8000-000000000001';
  const amount = { amountMinor: 3048, currency: 'EUR' };
  const none = { ...amount, amountMinor: 0 };
  const authorizationId = 'auth_1';
  const captureId = 'cap_1';
  /** Everything that a provider can report of a payment, in the order in which it happens. */
  const reported = {
    pending: { orderId, status: 'pending' },
    authorized: { orderId, status: 'authorized', authorizationId, authorized: amount },
    declined: { orderId, status: 'declined', reason: 'declined' },
    captured: { orderId, status: 'captured', authorizationId, captureId, captured: amount, refunded: none },
    voided: { orderId, status: 'voided', authorizationId },
    refunded: { orderId, status: 'refunded', authorizationId, captureId, captured: amount, refunded: amount },
  } satisfies Record<string, ProviderPayment>;
  type News = keyof typeof reported;
  const news = (name: News) => commandOf(reported[name]);

  const request: PaymentCommand = { type: 'Request', amount, token: 'tok_approved' };
  const [take, giveBack]: PaymentCommand[] = [{ type: 'Capture' }, { type: 'Return' }];
  /** What a call to the provider answers is recorded by the very same commands as a webhook. */
  const answered = (name: News) => news(name)!;

  /** The payment after commands and webhooks, and the types of its events. A refusal changes nothing. */
  function after(...commands: readonly (PaymentCommand | undefined)[]) {
    const events: PaymentEvent[] = [];
    let state = payment.initialState;
    for (const command of commands) {
      const decided = command ? payment.decide(command, state) : [];
      events.push(...decided);
      state = decided.reduce(payment.evolve, state);
    }
    return { status: state.status, types: events.map(({ type }) => type) };
  }

  const paid = [request, answered('authorized'), take!, answered('captured')];
  const histories: Record<string, (PaymentCommand | undefined)[]> = {
    requested: [request],
    authorized: [request, answered('authorized')],
    declined: [request, answered('declined')],
    capturing: [request, answered('authorized'), take!],
    captured: paid,
    voided: [request, answered('authorized'), giveBack!, answered('voided')],
    refunded: [...paid, giveBack!, answered('refunded')],
  };

  test.each<[string, News, string]>([
    ['requested', 'authorized', 'authorized'],
    ['requested', 'declined', 'declined'],
    ['capturing', 'captured', 'captured'],
    // The provider captured it, and the answer was lost: our own request to capture then finds it done.
    ['authorized', 'captured', 'captured'],
  ])('%s: %s comes before the answer of the call itself, whose answer then changes nothing', (from, name, status) => {
    const first = after(...histories[from]!, news(name));
    expect(first.status).toBe(status);
    expect(after(...histories[from]!, news(name), answered(name))).toEqual(first);
  });

  test.each(Object.keys(histories))('%s: a duplicate webhook changes nothing more', (from) => {
    for (const name of Object.keys(reported) as News[]) {
      const once = after(...histories[from]!, news(name));
      expect(after(...histories[from]!, news(name), news(name), news(name)), name).toEqual(once);
    }
  });

  test.each<[string, readonly News[]]>([
    ['requested', ['pending', 'captured', 'voided', 'refunded']], // Too early: the answer to the call decides.
    ['authorized', ['pending', 'authorized', 'declined']],
    ['capturing', ['pending', 'authorized', 'declined']],
    ['captured', ['pending', 'authorized', 'declined', 'captured']],
    ['voided', ['pending', 'authorized', 'declined', 'voided']],
    ['refunded', ['pending', 'authorized', 'declined', 'captured', 'voided', 'refunded']],
  ])('%s: what is late, or cannot be, changes nothing: %s', (from, names) => {
    for (const name of names) {
      expect(after(...histories[from]!, news(name)), name).toEqual(after(...histories[from]!));
    }
  });

  test.each<[string, News, string, PaymentEvent['type'][]]>([
    ['authorized', 'voided', 'capture-refused', ['PaymentCaptureRefused']],
    ['capturing', 'refunded', 'captured', ['PaymentCaptured', 'PaymentMovedByProvider']],
    ['captured', 'refunded', 'captured', ['PaymentMovedByProvider']],
    ['captured', 'voided', 'captured', ['PaymentMovedByProvider']],
    ['declined', 'captured', 'returning', ['PaymentMovedByProvider', 'PaymentReturnRequested']],
    ['voided', 'captured', 'returning', ['PaymentMovedByProvider', 'PaymentReturnRequested']],
  ])('%s: what the provider does by itself is recorded: %s', (from, name, status, types) => {
    const before = after(...histories[from]!);
    expect(after(...histories[from]!, news(name), news(name))).toEqual({ status, types: [...before.types, ...types] });
  });

  test.each(['declined', 'voided'])('%s: another hold that turns up late is recorded, and goes back', (from) => {
    const late = commandOf({ ...reported.authorized, authorizationId: 'auth_2' });
    const before = after(...histories[from]!);
    const { status, types } = after(...histories[from]!, late, late);
    expect(status).toBe('returning');
    expect(types).toEqual([...before.types, 'PaymentAuthorized', 'PaymentReturnRequested']);
  });

  test('a webhook about no payment that is known is refused, of whatever kind, so that it comes again', () => {
    for (const name of ['authorized', 'declined', 'captured', 'voided', 'refunded'] as const) {
      expect(() => after(news(name)), name).toThrow(NotFound);
    }
  });

  test('webhooks of a paid order in any order, any number of times, between the calls: it is paid once', () => {
    const webhooks = fc.array(fc.constantFrom<News>('pending', 'authorized', 'captured'), { maxLength: 12 });
    fc.assert(
      fc.property(fc.tuple(webhooks, webhooks, webhooks, webhooks), ([one, two, three, four]) => {
        const each = (names: News[]) => names.map(news);
        const commands = [request, ...each(one), answered('authorized'), ...each(two), take!, ...each(three)];
        const { status, types } = after(...commands, answered('captured'), ...each(four));
        expect(status).toBe('captured');
        const count = (type: PaymentEvent['type']) => types.filter((found) => found === type).length;
        expect([count('PaymentAuthorized'), count('PaymentCaptured'), count('PaymentReturnRequested')]).toEqual([
          1, 1, 0,
        ]);
      }),
      { numRuns: 300 },
    );
  });
});
