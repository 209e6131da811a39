/** Connections whose server's answers are swallowed: on a server that counts what it is asked. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { silentLog, SystemClock } from '#runtime';
import { type BaseConfig, StartError } from '../config.js';
import { commonTroubles } from '../troubles/common.js';
import { Troubles } from '../troubles/troubles.js';
import { throughSilence } from './silence.js';

const clock = new SystemClock();
const closes: (() => Promise<unknown>)[] = [];
const closing = { onClose: (close: () => Promise<unknown>) => void closes.push(close) };

let troubles: Troubles<keyof typeof commonTroubles>;
let server: Server;
let asked: string;
/** The server's ends of its connections. */
let accepted: Socket[];

beforeEach(async () => {
  troubles = new Troubles(commonTroubles, { clock, log: silentLog });
  asked = '';
  accepted = [];
  server = createServer((socket) => {
    accepted.push(socket);
    socket
      .on('error', () => {})
      .on('data', (bytes) => {
        asked += bytes.toString();
        socket.write(bytes.toString().toUpperCase());
      });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(async () => {
  for (const close of closes.splice(0)) await close();
  accepted.forEach((socket) => socket.destroy());
  server.close();
});

const urlOf = (name: string, rest = '') =>
  `postgresql://user:secret@127.0.0.1:${(server.address() as AddressInfo).port}/${name}${rest}`;

const through = (config: object) => throughSilence(config as BaseConfig, troubles, closing);

async function open(url: string) {
  const socket = connect(Number(new URL(url).port), new URL(url).hostname);
  let heard = '';
  let ended = false;
  socket.on('data', (bytes) => (heard += bytes.toString()));
  socket.on('error', () => {}).on('close', () => (ended = true));
  await once(socket, 'connect');
  return { socket, heard: () => heard, ended: () => ended };
}

test('every URL of a Postgres leads through it, by one way for each server; that of the bus and all else stay as they are', async () => {
  const given = {
    EVENT_STORE_URL: urlOf('order'),
    DATABASE_URL: urlOf('order'),
    CUSTOMER_KEYS_URL: urlOf('keys'),
    MESSAGE_BUS_URL: urlOf('bus'),
    AUTH_ISSUER: 'http://127.0.0.1:3004',
    PORT: 3001,
  };
  const { EVENT_STORE_URL, DATABASE_URL, CUSTOMER_KEYS_URL, ...rest } = (await through(
    given,
  )) as unknown as typeof given;
  const { MESSAGE_BUS_URL, AUTH_ISSUER, PORT } = given;
  expect(rest).toEqual({ MESSAGE_BUS_URL, AUTH_ISSUER, PORT });
  const { port } = new URL(DATABASE_URL);
  expect(port).not.toBe(new URL(given.DATABASE_URL).port);
  expect([EVENT_STORE_URL, DATABASE_URL, CUSTOMER_KEYS_URL]).toEqual(
    ['order', 'order', 'keys'].map((name) => `postgresql://user:secret@127.0.0.1:${port}/${name}`),
  );
});

test('a KurrentDB is another server', async () => {
  const url = 'kurrentdb://localhost:2113';
  expect(await through({ EVENT_STORE_URL: url, DATABASE_URL: urlOf('order') })).toMatchObject({ EVENT_STORE_URL: url });
});

test.each(['?sslmode=require', '?ssl=true', '?host=/var/run/postgresql'])(
  'a URL with %s has nothing before its server: the service does not start',
  async (rest) => {
    await expect(through({ DATABASE_URL: urlOf('order', rest) })).rejects.toThrow(StartError);
    await expect(through({ DATABASE_URL: urlOf('order', rest) })).rejects.toThrow(
      'TROUBLE is true, and DATABASE_URL asks for TLS or names no host, so that nothing can stand before its server. Set TROUBLE to false.',
    );
  },
);

test('while it is on, what is asked arrives and no answer does; then the connections that miss one end, and others go on', async () => {
  const { DATABASE_URL: url } = await through({ DATABASE_URL: urlOf('order') });
  const [asking, idle] = [await open(url), await open(url)];
  for (const each of [asking, idle]) each.socket.write('a');
  await expect.poll(() => asking.heard() + idle.heard()).toBe('AA');
  troubles.switchOn('silence-database', 'otto');
  const late = await open(url);
  asking.socket.write('b');
  late.socket.write('c');
  await expect.poll(() => asked.split('').toSorted().join('')).toBe('aabc');
  await expect.poll(() => troubles.states().find(({ name }) => name === 'silence-database')!.struck).toBe(2);
  expect([asking.heard(), late.heard(), asking.ended(), late.ended()]).toEqual(['A', '', false, false]);
  troubles.switchOff('silence-database');
  await expect.poll(() => [asking.ended(), late.ended()]).toEqual([true, true]);
  idle.socket.write('d');
  await expect.poll(() => idle.heard()).toBe('AD');
  expect([asking.heard(), late.heard(), idle.ended()]).toEqual(['A', '', false]);
});

test('nobody is told that a silent connection has ended', async () => {
  const { DATABASE_URL: url } = await through({ DATABASE_URL: urlOf('order') });
  const { socket, ended } = await open(url);
  socket.write('a');
  await expect.poll(() => asked).toBe('a');
  troubles.switchOn('silence-database', 'otto');
  socket.write('b');
  await expect.poll(() => asked).toBe('ab');
  accepted[0]!.destroy();
  await once(accepted[0]!, 'close');
  await clock.sleep(50);
  expect(ended()).toBe(false);
  troubles.switchOff('silence-database');
  await expect.poll(ended).toBe(true);
});

test('where nothing is silent, the end of either side is the end of the other', async () => {
  const { DATABASE_URL: url } = await through({ DATABASE_URL: urlOf('order') });
  const [one, other] = [await open(url), await open(url)];
  await expect.poll(() => accepted.length).toBe(2);
  one.socket.end();
  await expect.poll(() => accepted.filter(({ closed }) => closed).length).toBe(1);
  accepted.forEach((socket) => socket.end());
  await expect.poll(other.ended).toBe(true);
});
