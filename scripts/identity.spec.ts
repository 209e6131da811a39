/** Who may reach a provider that asks for no password: this machine, or a network of containers. */
import { expect, test } from 'vitest';
import { addressesIn } from './identity.js';

test.each([
  [{}, {}],
  [{ AUTH_ISSUER: '', HOST: ' ' }, {}],
  [{ HOST: '127.0.0.1' }, { host: '127.0.0.1' }],
  [
    { HOST: '::1', AUTH_ISSUER: 'http://localhost:3000' },
    { host: '::1', issuer: 'http://localhost:3000' },
  ],
  [
    { HOST: '0.0.0.0', AUTH_ISSUER: 'http://identity:3000' },
    { host: '0.0.0.0', issuer: 'http://identity:3000' },
  ],
])('%j leads to %j', (env, expected) => {
  expect(addressesIn(env)).toEqual(expected);
});

test.each(['0.0.0.0', '::', '192.168.1.7', 'localhost.example'])(
  'HOST=%s is refused where it has no name of a container',
  (HOST) => {
    const refused = `HOST=${HOST} would let others reach this provider`;
    expect(() => addressesIn({ HOST })).toThrow(refused);
    expect(() => addressesIn({ HOST, AUTH_ISSUER: 'http://localhost:3000' })).toThrow(refused);
  },
);

test.each([
  'https://login.example.com',
  'http://login.example.com',
  'https://identity',
  'http://identity:3000/',
  'http://identity:3000/shop',
  'http://10.0.0.1',
  'identity:3000',
  'identity',
])('AUTH_ISSUER=%s is refused', (AUTH_ISSUER) => {
  expect(() => addressesIn({ AUTH_ISSUER })).toThrow(
    `AUTH_ISSUER=${AUTH_ISSUER} is not a name that this provider can have`,
  );
});
