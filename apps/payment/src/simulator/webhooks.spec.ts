import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { ManualClock, SeededRandom, SequentialIds } from '#runtime/testing';
import { silentLog, SystemClock } from '#runtime';
import { SIGNATURE_HEADER, verify, type Webhook, webhook } from '../webhook.js';
import { postWebhook, WebhookOutbox } from './webhooks.js';

const orderId = '9d1e0000-0000-4000-8000-000000000001';
const sent = (id: string): Webhook => ({
  id,
  type: 'payment.voided',
  createdAt: '2026-01-01T00:00:00.000Z',
  data: { orderId, status: 'voided' },
});

function outbox(deliver: (webhook: Webhook, signal: AbortSignal) => Promise<void>) {
  const clock = new ManualClock();
  const random = new SeededRandom(1);
  return { clock, outbox: new WebhookOutbox(deliver, { clock, ids: new SequentialIds(), random, log: silentLog }) };
}

test('a webhook that its receiver did not accept is sent again, after a pause', async () => {
  const attempts: string[] = [];
  const s = outbox(async ({ id }) => {
    attempts.push(id);
    if (attempts.length < 3) throw new Error('not now');
  });
  s.outbox.send(sent('w1'));
  await s.clock.advance(0);
  expect(attempts).toEqual(['w1']);
  await s.clock.advance(60_000);
  expect(attempts).toEqual(['w1', 'w1', 'w1']);
});

test('a webhook whose receiver stays away comes for ten minutes at least, then is given up, and holds up no others meanwhile', async () => {
  const attempts: string[] = [];
  const s = outbox(async ({ id }) => {
    attempts.push(id);
    if (id === 'w1') throw new Error('never');
  });
  s.outbox.send(sent('w1'));
  s.outbox.send(sent('w2'));
  await s.clock.advance(0);
  expect(attempts).toEqual(['w1', 'w2']);
  await s.clock.advance(600_000);
  expect(s.clock.sleeping).toBe(1);
  await s.clock.advance(600_000);
  expect(attempts.filter((id) => id === 'w1')).toHaveLength(100);
  expect(s.clock.sleeping).toBe(0);
});

test('a few are delivered at once, and the outbox is bounded', async () => {
  let delivered = 0;
  let underWay = 0;
  let release = () => {};
  const released = new Promise<void>((resolve) => (release = resolve));
  const s = outbox(async () => {
    underWay++;
    await released;
    delivered++;
  });
  for (let nth = 0; nth < 1_500; nth++) s.outbox.send(sent(`w${nth}`));
  expect(underWay).toBe(4);
  release();
  await s.clock.advance(0);
  expect(delivered).toBe(1_000);
});

test('closing gives up what is in progress and what waits', async () => {
  const attempts: string[] = [];
  const s = outbox(async ({ id }, signal) => {
    attempts.push(id);
    if (id === 'w1') throw new Error('not now');
    await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('gave up'))));
  });
  for (const id of ['w1', 'w2', 'w3', 'w4', 'w5', 'w6']) s.outbox.send(sent(id));
  await s.clock.advance(0);
  await s.outbox.close();
  await s.clock.advance(60_000);
  expect(attempts).toEqual(['w1', 'w2', 'w3', 'w4', 'w5']);
  expect(s.clock.sleeping).toBe(0);
});

test('a delivery is a signed POST, and a receiver that answers with an error has not accepted it', async () => {
  const clock = new SystemClock();
  let status = 204;
  const received: unknown[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const verdict = verify(body, String(request.headers[SIGNATURE_HEADER]), ['secret'], clock.now());
    received.push(verdict, webhook.parse(JSON.parse(body.toString())));
    response.writeHead(status).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/webhooks/payments`;
  const deliver = postWebhook(() => url, 'secret', clock);
  const never = new AbortController().signal;
  await deliver(sent('w1'), never);
  expect(received).toEqual(['ok', sent('w1')]);
  status = 503;
  await expect(deliver(sent('w2'), never)).rejects.toThrow('503');
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
