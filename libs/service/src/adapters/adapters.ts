/** The one place where the scheme of a URL chooses an adapter. Nothing else in a service knows which adapter it has. */
import type pg from 'pg';
import { topics } from '#contracts';
import type { EventStore } from '#event-store';
import { PostgresEventStore, PostgresSnapshots } from '#event-store/postgres';
import type { MessageBus } from '#message-bus';
import { PostgresMessageBus, PostgresParkedMessages } from '#message-bus/postgres';
import { PostgresTables } from '#projections/postgres';
import {
  assertKeepsSessions,
  BY_INDEX,
  leaseSession,
  PostgresCheckpoints,
  PostgresLeases,
  postgresPool,
  PostgresSession,
} from '#runtime/postgres';
import type { Clock, Runtime } from '#runtime';
import { type BaseConfig, StartError } from '../config.js';
import type { ServiceDefinition } from '../definition.js';
import { assertCheckpoints } from './checkpoints.js';
import { instanceName } from './instance-name.js';
import { assertMigrated } from './migrations.js';
import type { ServicePorts } from '../ports.js';
import { reach } from './reach.js';

/** @throws StartError for a scheme that has no adapter; the driver's error when the server cannot be reached */
export async function openEventStore(url: string, clock: Clock, { readOnly = false } = {}): Promise<EventStore> {
  switch (schemeOf(url)) {
    case 'postgres':
    case 'postgresql':
      await assertKeepsSessions(url);
      return PostgresEventStore.open({ url, clock, readOnly });
    case 'kurrentdb':
    case 'esdb':
    case 'kurrentdb+discover':
    case 'esdb+discover': {
      const { KurrentDbEventStore } = await import('#event-store/kurrentdb');
      return KurrentDbEventStore.open({ url, clock });
    }
    default:
      throw unknownScheme('EVENT_STORE_URL', url, 'postgresql:// or kurrentdb://');
  }
}

/** @throws StartError for a scheme that has no adapter; the driver's error when the server cannot be reached */
export async function openMessageBus(url: string, { clock, log }: Pick<Runtime, 'clock' | 'log'>): Promise<MessageBus> {
  switch (schemeOf(url)) {
    case 'postgres':
    case 'postgresql':
      await assertKeepsSessions(url);
      return PostgresMessageBus.open({ url, clock, log });
    case 'kafka':
    case 'kafkas': {
      const { KafkaMessageBus } = await import('#message-bus/kafka');
      return KafkaMessageBus.open({ url, clock, log, topics: topics.map(({ name }) => name) });
    }
    default:
      throw unknownScheme('MESSAGE_BUS_URL', url, 'postgresql://, kafka:// or kafkas://');
  }
}

function schemeOf(url: string): string {
  return url.slice(0, Math.max(0, url.indexOf('://')));
}

function unknownScheme(variable: string, url: string, known: string): StartError {
  return new StartError(`${variable} has the scheme ${schemeOf(url)}://, which has no adapter. Use ${known}.`, 78);
}

/**
 * Opens all ports of a service, waiting for servers that cannot be reached yet, and registers with `closing` what closes
 * them.
 * @throws StartError that names the variable, when a server is unreachable for START_TIMEOUT or refuses us, when the database
 * still lacks a migration by then, or when it belongs to another event store
 */
export async function openPorts(
  definition: ServiceDefinition,
  config: BaseConfig,
  runtime: Runtime & Pick<ServicePorts, 'counters'>,
  closing: { onClose(close: () => Promise<unknown>): void },
): Promise<{ ports: ServicePorts; pool: pg.Pool }> {
  const { clock } = runtime;
  const open = <T>(variable: string, attempt: () => Promise<T>) =>
    reach(variable, attempt, runtime, config.START_TIMEOUT);

  const store = await open('EVENT_STORE_URL', () => openEventStore(config.EVENT_STORE_URL, clock));
  closing.onClose(() => store.close());
  const bus = await open('MESSAGE_BUS_URL', () => openMessageBus(config.MESSAGE_BUS_URL, runtime));
  closing.onClose(() => bus.close());
  await open('DATABASE_URL', () => assertKeepsSessions(config.DATABASE_URL));
  const pool = postgresPool(config.DATABASE_URL, { settings: BY_INDEX });
  closing.onClose(() => pool.end());
  await open('DATABASE_URL', () => assertMigrated(pool, definition.name));
  const session = new PostgresSession(config.DATABASE_URL, clock, leaseSession(instanceName(config)));
  closing.onClose(() => session.close());
  const parked = new PostgresParkedMessages(pool);
  const ports = {
    ...runtime,
    store,
    snapshots: new PostgresSnapshots(pool),
    bus,
    tables: new PostgresTables(pool, clock),
    checkpoints: new PostgresCheckpoints(pool),
    parked,
    deadLetters: parked,
    leases: new PostgresLeases(session, clock),
  };
  await open('DATABASE_URL', () => assertCheckpoints(definition, ports));
  return { pool, ports };
}
