/** The one place where the scheme of a URL chooses an adapter. Nothing else in a service knows which one it has. */
import type pg from 'pg';
import { topics } from '#contracts';
import { type EventStore, PostgresEventStore } from '#event-store';
import { type MessageBus, PostgresMessageBus, PostgresParkedMessages } from '#message-bus';
import { PostgresTables } from '#projections';
import { type Clock, postgresPool, PostgresCheckpoints, PostgresLeases, PostgresSession, type Runtime } from '#runtime';
import type { Background } from './background.js';
import { type BaseConfig, StartError } from './config.js';
import { withoutPasswords } from './logger.js';
import type { ServicePorts } from './ports.js';
import { isUnavailable } from './problem.js';

/** @throws StartError for a scheme that has no adapter; the driver's error when the server cannot be reached */
export async function openEventStore(url: string, clock: Clock): Promise<EventStore> {
  switch (schemeOf(url)) {
    case 'postgres':
    case 'postgresql':
      return PostgresEventStore.open({ url, clock });
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
      return PostgresMessageBus.open({ url, clock });
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
 * Opens all that a service needs, waiting for servers that are not there yet, and has `background` close it.
 * @throws StartError that names the variable, when a server stays away for START_TIMEOUT or refuses us
 */
export async function openPorts(
  config: BaseConfig,
  runtime: Runtime,
  background: Background,
): Promise<{ ports: ServicePorts; pool: pg.Pool }> {
  const { clock } = runtime;
  const open = <T>(variable: Reached, attempt: () => Promise<T>) =>
    reach(variable, attempt, runtime, config.START_TIMEOUT);

  const store = await open('EVENT_STORE_URL', () => openEventStore(config.EVENT_STORE_URL, clock));
  background.onClose(() => store.close());
  const bus = await open('MESSAGE_BUS_URL', () => openMessageBus(config.MESSAGE_BUS_URL, runtime));
  background.onClose(() => bus.close());
  const pool = postgresPool(config.DATABASE_URL);
  background.onClose(() => pool.end());
  await open('DATABASE_URL', () => pool.query('SELECT'));
  const session = new PostgresSession(config.DATABASE_URL, clock);
  background.onClose(() => session.close());
  return {
    pool,
    ports: {
      ...runtime,
      store,
      bus,
      tables: new PostgresTables(pool),
      checkpoints: new PostgresCheckpoints(pool),
      parked: new PostgresParkedMessages(pool),
      leases: new PostgresLeases(session, clock),
    },
  };
}

type Reached = 'EVENT_STORE_URL' | 'MESSAGE_BUS_URL' | 'DATABASE_URL';

/** Postgres: wrong password or role, no such database, no right to it. */
const REFUSALS = /^(28...|3D000|42501)$/;

const RETRY_MS = 500;
const SAY_EVERY_MS = 3_000;

/** Repeats `attempt` for as long as the server is away. */
async function reach<T>(
  variable: Reached,
  attempt: () => Promise<T>,
  { clock, log }: Pick<Runtime, 'clock' | 'log'>,
  timeoutMs: number,
): Promise<T> {
  const startedMs = clock.now().getTime();
  let saidMs = startedMs - SAY_EVERY_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      const nowMs = clock.now().getTime();
      const { message, code = '' } = error as { message?: string; code?: string };
      const why = withoutPasswords(message || code);
      if (REFUSALS.test(code)) {
        throw new StartError(`${variable}: the server refuses us (${why}). Correct the URL, or the server.`, 78, {
          cause: error,
        });
      }
      if (!isUnavailable(error)) throw error;
      if (nowMs - startedMs >= timeoutMs) {
        const remedy = 'Start the server or correct the URL.';
        throw new StartError(`${variable}: no server answered within ${timeoutMs} ms (${why}). ${remedy}`, 69, {
          cause: error,
        });
      }
      if (nowMs - saidMs >= SAY_EVERY_MS) {
        saidMs = nowMs;
        log.warn({ variable }, `${variable}: no server answers (${why}). Start it or correct the URL; still trying.`);
      }
      await clock.sleep(RETRY_MS);
    }
  }
}
