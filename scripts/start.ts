/**
 * `npm start`: the whole shop on this machine, with nothing installed but Node.
 *
 *   Postgres ─▶ migrations ─▶ the OpenID provider ─▶ the services and the gateway ─▶ groceries, when the shelves are empty ─▶ open
 *
 * From then on this process restarts any of the others that ends unexpectedly. Ctrl-C closes the services first and
 * Postgres last; a second Ctrl-C does not wait for them. The shop's data is kept.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { readVariables } from '#service';
import { Advice } from './lib/advice.js';
import { actAs } from './lib/api.js';
import { BOOKS_ANSWER_MS, watchBalance } from './lib/balance.js';
import { headersIn, keepTokenKeys, logFile, logsIn, noteStore, shiftLogs } from './lib/data-folder.js';
import { freePort, isTaken, type PostgresServer, serverIn, startPostgres } from './lib/embedded-postgres.js';
import { fillShelves } from './lib/groceries.js';
import { migrate } from './migrate.js';
import { AUDIENCE, openProvider, type OpenIdProvider } from './lib/openid-provider.js';
import { openBooks } from './lib/reconcile/open-books.js';
import { Screen } from './lib/screen.js';
import { ServiceProcess } from './lib/service-process.js';
import { SystemClock } from '#runtime';
import { perService, type Service, services } from '../apps/shop.js';
import { dataFolder, portOf, portVariable, psqlCommand, shortPath, urlOf, whoUses } from './lib/addresses.js';
import { welcome } from './lib/welcome.js';

/** A process that ends this often, each time within CALM_MS of its start, is not started again. */
const TRIES = 5;
const CALM_MS = 30_000;

/** What runs as a process of its own, besides Postgres. */
type Application = Service | 'gateway';

const screen = new Screen();
const stop = new AbortController();
const running = new Map<Application, ServiceProcess>();
let postgres: PostgresServer | undefined;
let identity: OpenIdProvider | undefined;

/** Whether operators may make things go wrong. */
const trouble = process.env['TROUBLE']?.trim() || 'true';

/** An OpenID provider of one's own, in place of the one for development. */
const ownIssuer = process.env['AUTH_ISSUER']?.trim();

export const usage =
  'npm start. Variables change it: LARDER_DATA, GATEWAY_PORT, ORDER_PORT, INVENTORY_PORT, PAYMENT_PORT, IDENTITY_PORT, POSTGRES_PORT, AUTH_ISSUER, EVENT_STORE_URL, MESSAGE_BUS_URL, TROUBLE.';

export async function main(): Promise<void> {
  const stopped = untilStopped();
  try {
    await Promise.race([openShop(), stopped]);
    await stopped;
  } finally {
    stop.abort();
    screen.end();
    if (running.size > 0) console.log('Closing …');
    await closeShop();
  }
  console.log('Closed. Its data is kept: `npm start` opens the shop again, `npm run reset` empties it.');
  process.exit(0);
}

async function openShop(): Promise<void> {
  const data = dataFolder();
  const cluster = join(data, 'postgres');
  const logOf = (name: string) => logFile(data, name);
  await screen.step('checking that no shop is open', () => refuseWhileOpen(cluster));
  shiftLogs(data);
  mkdirSync(logsIn(data), { recursive: true });
  // Where there are several adapters, the environment can choose another: MESSAGE_BUS_URL=kafka://… npm start
  const env = readVariables(['EVENT_STORE_URL', 'MESSAGE_BUS_URL']);
  const { EVENT_STORE_URL: storeUrl, MESSAGE_BUS_URL: busUrl } = env;
  noteStore(data, storeUrl);
  const keys = keepTokenKeys(data);

  const startServer = (port: number) => startPostgres({ folder: cluster, port, log: logOf('postgres') });
  postgres = await screen.step(
    existsSync(cluster) ? 'starting Postgres' : 'creating a Postgres cluster',
    async (done) => {
      const server = await startServer((await isTaken(portOf('postgres'))) ? await freePort() : portOf('postgres'));
      done('Postgres', `port ${server.port}, data in ${shortPath(cluster)}`);
      return server;
    },
  );
  const { port, url } = postgres;
  void keepRunning('Postgres', postgres, async () => (postgres = await startServer(port)));

  await screen.step('migrating the databases', async (done) => {
    await Promise.all([...services, 'bus', 'customer_keys'].map((name) => postgres!.createDatabase(name)));
    const applied = await Promise.all(services.map((name) => migrate(url(name), `prisma/${name}/migrations`)));
    done('migrations', applied.flat().length > 0 ? `${applied.flat().length} applied` : 'up to date');
  });

  const gatewaySecret = randomBytes(32).toString('base64url');
  if (!ownIssuer)
    await screen.step('opening the OpenID provider', async (done) => {
      const warn = (complaint: string) => screen.print(complaint);
      identity = await openProvider({ data, port: portOf('identity'), gatewaySecret, clock: new SystemClock(), warn });
      done('identity', identity.issuer);
    });
  // All that says whose tokens count: what is set for a provider of one's own must not be mixed with this one's.
  const whoIsTrusted = identity && {
    AUTH_ISSUER: identity.issuer,
    AUTH_AUDIENCE: AUDIENCE,
    AUTH_ROLES_CLAIM: 'roles',
    AUTH_TOKEN_TYPE: 'at+jwt',
  };
  const asMachine = identity && { GATEWAY_CLIENT_ID: 'gateway', GATEWAY_CLIENT_SECRET: gatewaySecret };
  const launch = (name: Application, variables: NodeJS.ProcessEnv) => {
    stop.signal.throwIfAborted();
    const env = { TROUBLE: trouble, ...whoIsTrusted, ...variables };
    const launched = new ServiceProcess(name, portOf(name), env, logOf(name));
    running.set(name, launched);
    return launched;
  };
  const open = (name: Application, variables: NodeJS.ProcessEnv) =>
    screen.step(`starting ${name}`, async (done) => {
      const launched = launch(name, variables);
      await launched.ready();
      done(name, urlOf(name));
      void keepRunning(name, launched, async () => launch(name, variables));
    });
  const variablesOf = (service: Service) => ({
    EVENT_STORE_URL: storeUrl ?? url(service),
    MESSAGE_BUS_URL: busUrl ?? url('bus'),
    DATABASE_URL: url(service),
    TRUSTED_PROXIES: '127.0.0.1', // The gateway.
    ...(service === 'order' && { CUSTOMER_KEYS_URL: url('customer_keys') }),
    ...keys[service],
  });
  const urls = Object.fromEntries(services.map((service) => [`${service.toUpperCase()}_URL`, urlOf(service)]));
  await Promise.all([
    ...services.map((service) => open(service, variablesOf(service))),
    open('gateway', { ...urls, ...asMachine }),
  ]);
  const databases = perService((service) => ({ databaseUrl: url(service), storeUrl: storeUrl ?? url(service) }));
  if (z.stringbool().catch(false).parse(trouble)) void keepBalance(databases);
  await screen.step('filling the shelves', async (done) => done('groceries', await fillAsClerk()));
  screen.print(
    welcome({
      logs: shortPath(logsIn(data)),
      psql: psqlCommand(url('order')),
      issuer: identity?.issuer ?? ownIssuer!,
      as: shortPath(headersIn(data)),
    }),
  );
}

/** With an OpenID provider of one's own it needs a clerk's token, without which the shop is open all the same. */
async function fillAsClerk(): Promise<string> {
  try {
    return await fillShelves(actAs('clerk'));
  } catch (error) {
    if (!ownIssuer || !(error instanceof Advice)) throw error;
    screen.print(error.message);
    return 'left as they are';
  }
}

/** The gateway shows it to operators, beside what they break. */
function keepBalance(databases: Parameters<typeof openBooks>[0]): Promise<void> {
  const clock = new SystemClock();
  const tell = (balance: object) => running.get('gateway')?.send({ balance });
  return watchBalance({
    open: () => openBooks(databases, clock, { answerMs: BOOKS_ANSWER_MS }),
    tell,
    clock,
    signal: stop.signal,
  });
}

async function closeShop(): Promise<void> {
  await Promise.all([...running.values()].map((service) => service.stop()));
  await identity?.close();
  await postgres?.stop();
}

/** Starts a process again, after a growing pause, whenever it ends before we stop. */
async function keepRunning(
  name: string,
  current: PostgresServer | ServiceProcess,
  again: () => Promise<PostgresServer | ServiceProcess>,
): Promise<void> {
  let failures = 0;
  while (true) {
    const sinceMs = performance.now();
    const reason = await current.ended;
    if (stop.signal.aborted) return;
    // Whoever kills it, such as a trouble that was switched on, says nothing of whether it can run.
    failures = performance.now() - sinceMs > CALM_MS || reason === 'SIGKILL' ? 1 : failures + 1;
    const ended = `${name} ended (${reason})${reason === 'SIGKILL' ? '.' : `: ${current.lastWords()}`}`;
    if (failures === TRIES)
      return screen.print(
        `${ended}\n${name} keeps ending and is not restarted. Close the shop with Ctrl-C, fix the cause, and start it again.`,
      );
    screen.print(`${ended}\nRestarting ${name}.`);
    await sleep(250 * 2 ** (failures - 1));
    try {
      current = await again();
    } catch (error) {
      if (!stop.signal.aborted) screen.print(error instanceof Error ? error.message : String(error));
      return;
    }
    if (current instanceof ServiceProcess) {
      current.ready().then(
        () => screen.print(`${name} is ready again.`),
        () => {}, // The next round sees that it ended.
      );
    }
  }
}

/** Waits a moment for a killed shop to end. @throws Advice when a shop is open, or one of its ports is in use */
async function refuseWhileOpen(cluster: string): Promise<void> {
  const giveUpAt = performance.now() + 3_000;
  for (;;) {
    const obstacle = await findObstacle(cluster);
    if (!obstacle) return;
    if (performance.now() > giveUpAt) throw new Advice(obstacle);
    await sleep(100);
  }
}

async function findObstacle(cluster: string): Promise<string | undefined> {
  const server = await serverIn(cluster);
  if (server)
    return `The shop is already open: process ${server.pid} uses ${shortPath(cluster)}. Close it first: Ctrl-C in its terminal.`;
  for (const service of [...services, 'gateway' as const, ...(ownIssuer ? [] : ['identity' as const])]) {
    const port = portOf(service);
    if (await isTaken(port))
      return `Port ${port} is in use (\`${whoUses(port)}\` shows by what). Free it, or set ${portVariable(service)} to another port.`;
  }
  return undefined;
}

/** Resolves at the first signal to stop. A second Ctrl-C kills at once. */
function untilStopped(): Promise<void> {
  return new Promise((stopped) => {
    let firstMs: number | undefined;
    const onSignal = (signal: NodeJS.Signals) => {
      if (firstMs === undefined) {
        firstMs = performance.now();
        stop.abort();
        stopped();
      } else if (signal === 'SIGINT' && performance.now() - firstMs > 500) {
        // A single Ctrl-C arrives twice within moments, from the terminal and from npm, which forwards it.
        running.forEach((service) => service.kill('SIGKILL'));
        process.exit(130); // The guard shuts Postgres down.
      }
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, onSignal);
  });
}
