import { expect, test } from 'vitest';
import { z } from 'zod';
import { inventoryEvents, orderEvents } from '#contracts';
import { projection } from '#projections';
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

test('all leases are those of the relay and the consumer, of its own loops and of the projectors', () =>
  expect(definition.allLeases).toEqual(['shop', 'shop retries', 'watchdog', 'projector:shelf']));
