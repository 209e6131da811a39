import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { inventoryEvents, orderEvents } from '#contracts';
import { projection } from '#projections';
import { loadConfig, secrets, StartError } from './config.js';
import { defineService } from './definition.js';

const rows = projection<{ id: string }, never>({
  name: 'shelf',
  table: 'shelf',
  categories: ['shelf'],
  keyColumns: ['id'],
  key: () => undefined,
  apply: () => undefined,
});

const definition = defineService({
  name: 'shop',
  port: 3009,
  access: {},
  variables: { GREETING: z.string().default('hello').describe('What it says') },
  aggregates: {},
  upcasters: {},
  publishes: orderEvents,
  relays: ['shop'],
  messageOf: () => undefined,
  subscribes: [inventoryEvents],
  reactionTo: () => undefined,
  projections: [rows],
  leases: ['watchdog'],
});

test('the configuration has the default port and the variables of the service', () => {
  const { PORT, GREETING } = definition.config.shape;
  expect([PORT.parse(undefined), GREETING.parse(undefined)]).toEqual([3009, 'hello']);
  expect(definition.config.shape.DATABASE_URL).toBeDefined();
});

describe('a secret whose default everybody knows', () => {
  const { config } = defineService({
    ...definition,
    variables: { SECRET: secrets().prefault('a well-known secret').describe('What signs') },
    publicDefaults: ['SECRET'],
  });
  const url = 'postgresql://larder@localhost/shop';
  const urls = { EVENT_STORE_URL: url, MESSAGE_BUS_URL: url, DATABASE_URL: url, AUTH_ISSUER: 'http://localhost:3000' };
  const load = (env: NodeJS.ProcessEnv) => loadConfig(config, { ...urls, ...env });

  test.each([undefined, '127.0.0.1', '127.0.0.2', '::1', 'localhost'])('is good with HOST=%s', (HOST) =>
    expect(load({ HOST }).SECRET).toEqual(['a well-known secret']),
  );

  test.each([
    ['0.0.0.0', undefined],
    ['::', ''],
    ['192.0.2.7', 'a well-known secret'],
    ['shop.example', 'another that is new, a well-known secret'],
  ])('is refused with HOST=%s, also where it is given (%s)', (HOST, SECRET) => {
    const refused = expect(() => load({ HOST, SECRET }));
    refused.toThrow(StartError);
    refused.toThrow(
      'SECRET has its default, which everybody knows, while HOST is not an address of loopback. Set it: What signs.',
    );
  });

  test('is not asked for where another is set', () =>
    expect(load({ HOST: '0.0.0.0', SECRET: 'one that nobody knows' }).SECRET).toEqual(['one that nobody knows']));
});

test('troubles are for loopback: with TROUBLE, no other address is listened on', () => {
  const { config } = definition;
  const url = 'postgresql://larder@localhost/shop';
  const urls = { EVENT_STORE_URL: url, MESSAGE_BUS_URL: url, DATABASE_URL: url, AUTH_ISSUER: 'http://localhost:3000' };
  const load = (env: NodeJS.ProcessEnv) => loadConfig(config, { ...urls, ...env }).TROUBLE;
  expect([load({}), load({ HOST: '0.0.0.0', TROUBLE: 'false' }), load({ TROUBLE: 'true' })]).toEqual([
    false,
    false,
    true,
  ]);
  for (const HOST of ['0.0.0.0', '::', '192.0.2.7', 'shop.example']) {
    expect(() => load({ HOST, TROUBLE: 'true' }), HOST).toThrow(
      'TROUBLE is true while HOST is not an address of loopback.',
    );
  }
});

test('all leases are those of the relay and the consumer, of its own loops and of the projectors', () =>
  expect(definition.allLeases).toEqual(['shop', 'shop retries', 'watchdog', 'projector:shelf']));
