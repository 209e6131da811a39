/**
 * The life of a service's process.
 *
 *   configuration ─▶ servers reached ─▶ modules ─▶ loops run ─▶ HTTP listens ─▶ … ─▶ a signal ─▶ stop (background.ts)
 *        │ 78             │ 69, 78                                                                  │ 0
 *                         └─ meanwhile waiting-room.ts answers: alive, not ready
 *
 * A failed start is one line on stderr and an exit code. Once the service runs, an uncaught error is logged and ends the
 * process with 1: the next start resumes unfinished work.
 */
import { setMaxListeners } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { type InjectionToken, Module, type Type } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Logger } from 'pino';
import { type Clock, ServerUnavailable, SystemClock, SystemIds, SystemRandom } from '#runtime';
import { openPorts } from '#service/adapters';
import { rateLimits } from '../access/rate-limit.js';
import { PostgresCounts } from '../access/shared-counts.js';
import { IssuerTokens } from '../access/tokens.js';
import { DeadLettersController } from '../admin/dead-letters.controller.js';
import { ProjectionsController } from '../admin/projections.controller.js';
import { Background } from './background.js';
import {
  type BaseConfig,
  loadConfig,
  type ServiceDefinition,
  type ServicePorts,
  StartError,
  withoutPasswords,
} from '#service';
import { Health } from './health.js';
import { createApp } from '../http/create-app.js';
import { createLog } from './logger.js';
import { Metrics } from './metrics.js';
import { CONFIG, DATABASE, PORTS, PROJECTIONS } from '../tokens.js';
import { ReadYourWrites } from '../http/position.js';
import { watchLoops, watchProjections, WatchedStore } from './progress.js';
import { openWaitingRoom } from './waiting-room.js';

export interface BootOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Wraps the ports, for measuring or for the faults that a test injects. */
  readonly wrapPorts?: (ports: ServicePorts) => ServicePorts;
}

export interface RunningService {
  readonly app: NestFastifyApplication;
  readonly log: Logger;
  readonly config: BaseConfig;
  /** Where it listens: `http://127.0.0.1:3001`. */
  readonly url: string;
  /** Says for DRAIN_TIME that it will stop, so that it is sent no more requests, and answers those that come. */
  drain(): Promise<void>;
  /** Stops it, in the order that background.ts shows. */
  stop(): Promise<void>;
}

@Module({})
class ServiceModule {}

/**
 * Starts a service in this process and returns when it listens.
 * @throws StartError when the configuration is wrong or a server stays unreachable
 */
export async function startService(
  definition: ServiceDefinition,
  module: Type,
  { env = process.env, wrapPorts = (ports) => ports }: BootOptions = {},
): Promise<RunningService> {
  const { name, projections, subscribes, rawBody, access } = definition;
  const config = loadConfig(definition.config, env) as BaseConfig;
  const clock = new SystemClock();
  const log = await createLog(name, config);
  const background = new Background(log);
  try {
    const runtime = { clock, ids: new SystemIds(), random: new SystemRandom(), log };
    const metrics = new Metrics(name);
    const counters = {
      skipped: metrics.counter('larder_messages_skipped_total', 'Messages of a type that is not known here.', [
        'topic',
      ]),
      dead: metrics.counter('larder_dead_letters_total', 'Messages that became dead letters.', ['topic']),
    };
    const leaveWaitingRoom = await openWaitingRoom(config).catch((error: unknown) => {
      throw refusedAddress(error, config);
    });
    background.onClose(leaveWaitingRoom);
    const { ports: opened, pool } = await openPorts(definition, config, { ...runtime, counters }, background);
    const wrapped = wrapPorts(opened);
    const store = new WatchedStore(wrapped.store, clock);
    const ports = { ...wrapped, store };
    const health = new Health(clock);
    health.add('store', async () => {
      store.refuseSilence(config.REQUEST_TIMEOUT);
      await store.head();
    });
    const checkBus = async () => {
      const news = await ports.bus.ping();
      const missed = await ports.bus.missed(name);
      return { ...news, ...(missed.length > 0 && { missed }) };
    };
    // Events wait in the store until the bus is back. A gateway that took the service out would close the shop for nothing.
    health.add('bus', checkBus, { needed: false });
    health.add('database', async () => {
      const { rows } = await pool.query<{ refuses: boolean }>(
        `SELECT current_setting('transaction_read_only')::boolean AS refuses`,
      );
      if (rows[0]!.refuses) throw new ServerUnavailable('The database takes no writes.');
    });
    watchProjections(projections, ports, health, metrics);
    watchLoops(definition, ports, health);
    metrics.gauge(
      'larder_messages_missed',
      'Messages that the bus deleted before the service had read them.',
      ['topic'],
      async () => {
        const missed = new Map((await ports.bus.missed(name)).map(({ topic, messages }) => [topic, messages]));
        return subscribes.map(({ name: topic }) => ({ labels: { topic }, value: missed.get(topic) ?? 0 }));
      },
    );
    metrics.gauge('larder_dead_letters', 'Messages that wait for a person.', [], async () => [
      { labels: {}, value: await ports.deadLetters.countDead() },
    ]);

    const provided: [InjectionToken, object][] = [
      [CONFIG, config],
      [PORTS, ports],
      [DATABASE, pool],
      [PROJECTIONS, projections],
      [Background, background],
      [Health, health],
      [Metrics, metrics],
      [ReadYourWrites, new ReadYourWrites(ports, config.READ_TIMEOUT, background.stopping)],
    ];
    const root = {
      module: ServiceModule,
      global: true,
      imports: [module],
      controllers: [ProjectionsController, DeadLettersController],
      providers: provided.map(([provide, useValue]) => ({ provide, useValue })),
      exports: provided.map(([token]) => token),
    };
    const shared = new PostgresCounts(pool);
    background.run((signal) => shared.clean(clock, signal));
    const app = await createApp(
      { name, module: root, rawBody, access },
      {
        ...runtime,
        background,
        health,
        metrics,
        tokens: new IssuerTokens(config, runtime),
        rateLimits: rateLimits(config, { clock, log, shared }),
        requestTimeoutMs: config.REQUEST_TIMEOUT,
        readTimeoutMs: config.READ_TIMEOUT,
        corsOrigins: config.CORS_ORIGINS,
        allowedHosts: config.ALLOWED_HOSTS,
        trustedProxies: config.TRUSTED_PROXIES,
      },
    );
    await listen(app, config, leaveWaitingRoom);
    const url = await app.getUrl();
    log.info({ url, docs: `${url}/docs` }, `${name} listens.`);
    const drain = () => {
      health.stopping = true;
      return clock.sleep(config.DRAIN_TIME);
    };
    return { app, log, config, url, drain, stop: () => app.close() };
  } catch (error) {
    await background.onApplicationShutdown();
    throw error;
  }
}

async function listen(app: NestFastifyApplication, config: BaseConfig, leaveWaitingRoom: () => Promise<void>) {
  try {
    // Slow steps come first: between the waiting room and the service nothing answers.
    await app.init();
    await app.getHttpAdapter().getInstance().ready();
    await leaveWaitingRoom();
    await app.listen(config.PORT, config.HOST);
  } catch (error) {
    await app.close();
    throw refusedAddress(error, config);
  }
}

/** By the error of `listen`. */
const REFUSED_ADDRESSES: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is in use',
  EACCES: 'is not allowed',
  EADDRNOTAVAIL: 'is not on this machine',
  ENOTFOUND: 'is not on this machine',
  EAI_AGAIN: 'cannot be looked up',
};

/** A StartError when `error` means that the address to listen at cannot be used; otherwise `error` itself. */
function refusedAddress(error: unknown, { PORT, HOST }: BaseConfig): unknown {
  const why = REFUSED_ADDRESSES[(error as { code?: string }).code ?? ''];
  if (why === undefined) return error;
  return new StartError(`HOST and PORT: ${HOST}:${PORT} ${why}. Set others.`, 78, { cause: error });
}

/**
 * V8 collects its old generation when the heap has grown to several times its live objects: under load, a service with
 * 35 MB of live objects would keep 120 MB. Collecting at a third above the live size takes 3 % more processor time.
 */
const HEAP_GROWING_PERCENT = 30;

/**
 * The whole of a `main.ts`: runs the service until SIGTERM, SIGINT or, when another process forked it, the end of that
 * process. A second signal ends it at once. Only SIGTERM, which comes from whoever also directs the requests, is worth
 * waiting for them.
 */
export async function bootService(
  definition: ServiceDefinition,
  module: Type,
  options: BootOptions = {},
): Promise<void> {
  const { name } = definition;
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
  // Many listeners of one signal are normal here, for example one for each payment that waits for the provider: no leak.
  setMaxListeners(0);
  let service: RunningService | undefined;
  let signals = 0;
  const stop = (signal: string) => {
    if (signals++ > 0 || service === undefined) process.exit(service === undefined ? 0 : 1);
    service.log.info({ signal }, `${name} stops.`);
    const drained = signal === 'SIGTERM' ? service.drain() : Promise.resolve();
    void drained.then(() => end(service!, new SystemClock()));
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  if (process.send) process.once('disconnect', () => stop('disconnect'));
  const fatal = (error: unknown) => {
    if (service) service.log.fatal({ err: error }, `${name} failed and ends.`);
    else complain(name, error);
    process.exit(error instanceof StartError ? error.exitCode : 1);
  };
  process.on('uncaughtException', fatal);
  process.on('unhandledRejection', fatal);
  service = await startService(definition, module, options).catch(fatal);
}

/** Stops within STOP_TIMEOUT, with exit code 0, or ends with 1. */
async function end({ stop, log, config }: RunningService, clock: Clock): Promise<void> {
  const stopped = await Promise.race([stop().then(() => true), clock.sleep(config.STOP_TIMEOUT).then(() => false)]);
  if (!stopped) log.error({}, 'It did not stop within STOP_TIMEOUT, and ends regardless.');
  process.exit(stopped ? 0 : 1);
}

function complain(name: string, error: unknown): void {
  const text = error instanceof StartError ? error.message : error instanceof Error ? error.stack : String(error);
  process.stderr.write(`${name} cannot start: ${withoutPasswords(text ?? '')}\n`);
}
