import { once } from 'node:events';
import { createServer } from 'node:http';
import { networkInterfaces } from 'node:os';
import { expect, test } from 'vitest';
import { ownUrl } from './own-url.js';

const addresses = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
const ipv6 = addresses.some(({ family }) => family === 'IPv6') ? ['::1', '::'] : [];

test.each(['127.0.0.1', '0.0.0.0', 'localhost', ...ipv6])(
  'a server that listens at %s, at a free port, reaches itself',
  async (host) => {
    const server = createServer((_request, response) => response.end('here'));
    server.listen(0, host);
    await once(server, 'listening');
    expect(await (await fetch(ownUrl(server))).text()).toBe('here');
    server.close();
  },
);

test('a server that does not listen yet has no address', () => {
  expect(() => ownUrl(createServer())).toThrow('does not listen yet');
});
