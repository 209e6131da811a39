/** The balance that the process which started the gateway tells it. */
import { EventEmitter } from 'node:events';
import { Module } from '@nestjs/common';
import { afterEach, expect, test } from 'vitest';
import { openApp } from '#test/app';
import type { Role } from '#service';
import type { Balance } from '../api.js';
import { accessWith } from '../definition.js';
import { hearBalance, serveBalance } from './balance.js';

@Module({})
class NoModule {}

const tokens = {
  known: () => undefined,
  identify: async (role: string | undefined) => ({ subject: 'someone', roles: [role as Role] }),
};
const balance: Balance = { at: '2027-01-01T00:00:00.000Z', orders: 2, open: 0, money: [], disagreements: [] };

let close: () => Promise<void>;
afterEach(() => close());

async function open() {
  const channel = new EventEmitter();
  const latest = hearBalance(channel as never);
  const row = 'GET /admin/balance';
  const access = { [row]: accessWith({ TROUBLE: true })[row]! };
  const app = await openApp({ module: NoModule, access, tokens, routes: (http) => serveBalance(http, latest) });
  close = () => app.close();
  const url = await app.getUrl();
  const ask = async (role: Role) => {
    const answer = await fetch(`${url}/admin/balance`, { headers: { authorization: role } });
    return [answer.status, await answer.json()];
  };
  return { ask, tell: (message: object) => channel.emit('message', message) };
}

test('an operator is told the last one, whatever else is said; nobody else is', async () => {
  const { ask, tell } = await open();
  tell({ balance: { ...balance, orders: 1 } });
  tell({ balance });
  tell({ something: 'else' });
  expect(await ask('operator')).toEqual([200, balance]);
  for (const role of ['customer', 'clerk', 'service'] as const) {
    expect(await ask(role)).toMatchObject([403, { code: 'forbidden' }]);
  }
});

test('where nobody tells one there is none', async () => {
  const { ask } = await open();
  expect(await ask('operator')).toMatchObject([404, { code: 'not-found' }]);
});

test('without TROUBLE a gateway has no such route', () =>
  expect(accessWith({ TROUBLE: false })).not.toHaveProperty('GET /admin/balance'));
