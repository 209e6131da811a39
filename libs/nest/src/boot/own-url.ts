import type { Server } from 'node:http';
import { isIPv6 } from 'node:net';

/** Who listens at all addresses of a machine can be reached at this one. */
const LOOPBACKS: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** Where a server reaches itself, once it listens: `http://127.0.0.1:3001`, `http://[::1]:3001`. */
export function ownUrl(server: Server): string {
  const place = server.address();
  if (place === null || typeof place === 'string') throw new Error('This server does not listen yet.');
  const address = LOOPBACKS[place.address] ?? place.address;
  return `http://${isIPv6(address) ? `[${address}]` : address}:${place.port}`;
}
