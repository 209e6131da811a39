/**
 * The life of an application's process: of a service (boot.ts), and of the gateway.
 *
 *   configuration ─▶ assembled: servers reached ─▶ modules ─▶ loops run ─▶ HTTP listens ─▶ … ─▶ a signal ─▶ stop (background.ts)
 *        │ 78             │ 69, 78                                                                        │ 0
 *                         └─ meanwhile waiting-room.ts answers: alive, not ready
 *
 * A failed start is one line on stderr and an exit code. Once the application runs, an uncaught error is logged and ends the
 * process with 1: the next start resumes unfinished work.
 */
import { setMaxListeners } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { type DynamicModule, Module } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Logger } from 'pino';
import { type Clock, type Runtime, SystemClock, SystemIds, SystemRandom } from '#runtime';
import { type AccessTable, type HttpConfig, StartError, withoutPasswords } from '#service';
import { rateLimits, type SharedCounts } from '../access/rate-limit.js';
import { IssuerTokens, type Tokens } from '../access/tokens.js';
import { createApp, type HttpOptions } from '../http/create-app.js';
import { Background } from './background.js';
import { Health } from './health.js';
import { createLog } from './logger.js';
import { Metrics } from './metrics.js';
import { openWaitingRoom } from './waiting-room.js';

export interface ApplicationOptions {
  readonly name: string;
  readonly config: HttpConfig;
  /** Who may call which of its own routes. */
  readonly access: AccessTable;
  /** Keeps the bytes of each body as `request.rawBody`, for signatures. */
  readonly rawBody?: boolean;
}

/** What every application has before anything of its own. */
export interface ApplicationParts {
  readonly runtime: Runtime & { readonly log: Logger };
  readonly background: Background;
  readonly health: Health;
  readonly metrics: Metrics;
  readonly tokens: Tokens;
}

export interface Assembled extends Pick<HttpOptions, 'beforeAccess' | 'routes' | 'document'> {
  readonly module: DynamicModule;
  /** Where the instances share the counts of their rate limits; without, each has its own. */
  readonly counts?: SharedCounts;
}

/** What every application's module has around it: Nest tells Background when the application starts and stops. */
@Module({})
class ApplicationModule {}

export interface RunningApplication {
  readonly app: NestFastifyApplication;
  readonly log: Logger;
  readonly config: HttpConfig;
  /** Where it listens: `http://127.0.0.1:3001`. */
  readonly url: string;
  /** Says for DRAIN_TIME that it will stop, so that it is sent no more requests, and answers those that come. */
  drain(): Promise<void>;
  /** Stops it, in the order that background.ts shows. */
  stop(): Promise<void>;
}

/**
 * Starts an application in this process and returns when it listens. `assemble` opens what it needs; requests are answered by
 * the waiting room meanwhile.
 * @throws StartError when it cannot listen, or a server stays unreachable
 */
export async function startApplication(
  { name, config, access, rawBody = false }: ApplicationOptions,
  assemble: (parts: ApplicationParts) => Promise<Assembled>,
): Promise<RunningApplication> {
  const clock = new SystemClock();
  const log = await createLog(name, config);
  const background = new Background(log);
  try {
    const runtime = { clock, ids: new SystemIds(), random: new SystemRandom(), log };
    const metrics = new Metrics(name);
    const health = new Health(clock);
    const tokens = new IssuerTokens(config, runtime);
    const leaveWaitingRoom = await openWaitingRoom(config).catch((error: unknown) => {
      throw refusedAddress(error, config);
    });
    background.onClose(leaveWaitingRoom);
    const assembled = await assemble({ runtime, background, health, metrics, tokens });
    const { module: own, counts, ...http } = assembled;
    const module = {
      module: ApplicationModule,
      global: true,
      imports: [own],
      providers: [{ provide: Background, useValue: background }],
      exports: [Background],
    };
    const app = await createApp(
      { ...http, name, module, rawBody, access },
      {
        ...runtime,
        background,
        health,
        metrics,
        tokens,
        rateLimits: rateLimits(config, { clock, log, ...(counts && { shared: counts }) }),
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

async function listen(app: NestFastifyApplication, config: HttpConfig, leaveWaitingRoom: () => Promise<void>) {
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
function refusedAddress(error: unknown, { PORT, HOST }: HttpConfig): unknown {
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
 * The whole of a `main.ts`: runs what `start` starts until SIGTERM, SIGINT or, when another process forked it, the end of that
 * process. A second signal ends it at once. Only SIGTERM, which comes from whoever also directs the requests, is worth
 * waiting for them.
 */
export async function runApplication(name: string, start: () => Promise<RunningApplication>): Promise<void> {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
  // Many listeners of one signal are normal here, for example one for each payment that waits for the provider: no leak.
  setMaxListeners(0);
  let running: RunningApplication | undefined;
  let signals = 0;
  const stop = (signal: string) => {
    if (signals++ > 0 || running === undefined) process.exit(running === undefined ? 0 : 1);
    running.log.info({ signal }, `${name} stops.`);
    const drained = signal === 'SIGTERM' ? running.drain() : Promise.resolve();
    void drained.then(() => end(running!, new SystemClock()));
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  if (process.send) process.once('disconnect', () => stop('disconnect'));
  const fatal = (error: unknown) => {
    if (running) running.log.fatal({ err: error }, `${name} failed and ends.`);
    else complain(name, error);
    process.exit(error instanceof StartError ? error.exitCode : 1);
  };
  process.on('uncaughtException', fatal);
  process.on('unhandledRejection', fatal);
  running = await start().catch(fatal);
}

/** Stops within STOP_TIMEOUT, with exit code 0, or ends with 1. */
async function end({ stop, log, config }: RunningApplication, clock: Clock): Promise<void> {
  const stopped = await Promise.race([stop().then(() => true), clock.sleep(config.STOP_TIMEOUT).then(() => false)]);
  if (!stopped) log.error({}, 'It did not stop within STOP_TIMEOUT, and ends regardless.');
  process.exit(stopped ? 0 : 1);
}

function complain(name: string, error: unknown): void {
  const text = error instanceof StartError ? error.message : error instanceof Error ? error.stack : String(error);
  process.stderr.write(`${name} cannot start: ${withoutPasswords(text ?? '')}\n`);
}
