/**
 * `npm run test:compose`: docker-compose.yml on a real Docker engine.
 *
 *   engine ─▶ images ─▶ build ─▶ up ─▶ tokens ─▶ a checkout ─▶ two instances ─▶ one killed ─▶ no Kafka ─▶ stop and start ─▶ down
 *
 * It uses the engine that `docker` reaches. Where there is none, root on Debian gets an engine for the test alone. An
 * image that cannot be pulled is replaced by a stand-in (test/compose/stand-ins), except KurrentDB's, which is then left
 * out. The project is called larder-test and uses free ports, so that it does not disturb an open shop.
 *
 * Exit code 0 when all checks passed, 1 when one failed, 2 when this machine cannot run it. The counts are written to
 * .cache/test-compose.json.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocalJWKSet, type JWK, jwtVerify } from 'jose';
import { Advice } from './lib/advice.js';
import { type AccountName, accountNames, accounts } from './lib/accounts.js';
import { call, headerIn, type Headers } from './lib/api.js';
import { freePort } from './lib/embedded-postgres.js';
import { fillShelves } from './lib/groceries.js';
import { green, red, Screen } from './lib/screen.js';
import { services } from '../apps/shop.js';
import { portVariable, urlOf } from './lib/addresses.js';

const PROJECT = 'larder-test';
const IMAGE = 'larder:test';
const IDENTITY_IMAGE = `${IMAGE}-identity`;
const ISSUER = 'http://identity:3000';
const MAX_IMAGE_BYTES = 350e6;
/** The base image of the Dockerfile. */
const BASE = /^FROM (\S+)/m.exec(readFileSync('Dockerfile', 'utf8'))![1]!;
const KURRENTDB = /\/kurrentdb:/;

/** Run inside a service: it has no port of this machine. */
const ASK_READINESS = `
  const answer = await fetch('http://127.0.0.1:' + process.env.PORT + '/health/ready');
  console.log((await answer.json()).status);`;

/** Generous: a busy machine must not fail a check. */
const PATIENCE_MS = 120_000;

/** What takes long to build: the engine's images and build cache, the compose plugin, stand-ins. */
const CACHE = resolve('.cache/compose');
const ENGINE = { DOCKER_HOST: 'unix:///run/larder-engine/docker.sock', DOCKER_CONFIG: `${CACHE}/engine/config` };

/** What has a port of this machine. */
const published = ['gateway', 'identity'] as const;

/** Our own containers that run as long as the shop is open. */
const own = [...services, ...published];

const interrupted = new AbortController();
const screen = new Screen();

export const usage = 'npm run test:compose.';

export async function main(): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => interrupted.abort(new Advice(`Interrupted by ${signal}.`)));
  }
  for (const name of published) process.env[portVariable(name)] = `${await freePort()}`;
  // What a service answers, the gateway does, at the same paths.
  for (const name of services) process.env[portVariable(name)] = process.env[portVariable('gateway')];
  // One customer places the orders of many, and looks at all of them meanwhile.
  const limit = { RATE_LIMIT_PER_CALLER: '5000/10s' };
  Object.assign(process.env, { LARDER_IMAGE: IMAGE, COMPOSE_PROFILES: '', COMPOSE_ANSI: 'never', ...limit });

  const impossible = await openEngine();
  if (impossible) {
    console.error(`test:compose cannot run: ${impossible}`);
    process.exit(2);
  }
  const test = new ComposeTest();
  let failure: unknown;
  try {
    await test.run();
  } catch (error) {
    failure = interrupted.signal.aborted ? interrupted.signal.reason : error;
    screen.print(red(`  failed: ${failure instanceof Error ? failure.message : failure}`));
    if (!interrupted.signal.aborted) screen.print(await test.lastWords());
  }
  await test.cleanUp();
  await closeEngine();
  screen.end();
  mkdirSync('.cache', { recursive: true });
  writeFileSync('.cache/test-compose.json', JSON.stringify({ passed: test.passed, failed: failure ? 1 : 0 }));
  console.log(
    failure ? red('test:compose failed: see the failed check above.') : green(`${test.passed} checks passed`),
  );
  process.exit(failure ? 1 : 0);
}

/** Finds an engine or starts one. Returns why there is none, as a sentence, or undefined if there is. */
async function openEngine(): Promise<string | undefined> {
  if (await succeeds('docker', 'info')) {
    if (await succeeds('docker', 'compose', 'version')) return undefined;
    return 'Docker is running, but the compose plugin (`docker compose`) is missing. Install it.';
  }
  if (!mayInstall())
    return 'no Docker engine is running, and the test can install one only as root on Debian. Start Docker.';
  try {
    Object.assign(process.env, ENGINE);
    await screen.step('starting a Docker engine', async (done) => {
      await run('bash', 'test/compose/engine.sh', 'start', `${CACHE}/engine`);
      done('engine', await run('docker', 'version', '--format', 'Docker {{.Server.Version}}, for this test alone'));
    });
    return undefined;
  } catch (error) {
    await closeEngine();
    return error instanceof Error ? error.message : String(error);
  }
}

const ownEngine = () => process.env['DOCKER_HOST'] === ENGINE.DOCKER_HOST;
const mayInstall = () => process.getuid?.() === 0 && existsSync('/etc/debian_version');

async function closeEngine(): Promise<void> {
  if (ownEngine()) await runAnyway('bash', 'test/compose/engine.sh', 'stop', `${CACHE}/engine`);
}

interface OrderView {
  readonly orderId: string;
  readonly status: string;
  readonly settled: boolean;
}

/** The output of `docker inspect` for a container, as far as it matters here. */
interface Container {
  readonly Id: string;
  readonly Name: string;
  readonly RestartCount: number;
  readonly Config: { readonly Labels: Readonly<Record<string, string>> };
  readonly State: {
    readonly Status: string;
    readonly ExitCode: number;
    readonly Pid: number;
    readonly Health?: { readonly Status: string };
  };
  readonly NetworkSettings: { readonly Networks: Readonly<Record<string, unknown>> };
  readonly HostConfig: {
    readonly ReadonlyRootfs: boolean;
    readonly CapDrop: readonly string[] | null;
    readonly SecurityOpt: readonly string[] | null;
    readonly Memory: number;
    readonly NanoCpus: number;
    readonly PidsLimit: number | null;
    readonly PortBindings: Readonly<Record<string, readonly { readonly HostIp: string; readonly HostPort: string }[]>>;
  };
}

class ComposeTest {
  passed = 0;
  private readonly files = ['--file', 'docker-compose.yml'];
  private readonly standIns: string[] = [];
  private readonly headers = new Map<AccountName, Headers>();

  async run(): Promise<void> {
    await this.getImages();
    await this.compose('down', '--volumes', '--remove-orphans'); // Left over from a run that was killed.

    await this.check('build', () => this.build());
    await this.check('up', () => this.up());
    await this.check('parts', () => this.namesItsParts());
    await this.check('locked', () => this.locked());
    await this.check('ports', () => this.boundToThisMachine());
    await this.check('identity', () => this.tokensForAll());
    await this.check('checkout', async () => {
      await fillShelves(await this.as('clerk'));
      return `${(await this.checkOut()).status}, through the gateway`;
    });
    await this.check('scale', () => this.twoInstances());
    await this.check('crash', () => this.crash());
    await this.check('kafka', () => this.withoutKafka());
    await this.check('signals', () => this.stopOnSignal());
    await this.check('volumes', () => this.surviveDown());
    await this.check('down', () => this.leaveNothing());
  }

  private async check(what: string, work: () => Promise<string>): Promise<void> {
    await screen.step(what, async (done) => {
      done(what, await work());
      this.passed++;
    });
  }

  /** Pulls the images that can be pulled, and makes stand-ins for the others. */
  private async getImages(): Promise<void> {
    const images = (await this.compose('config', '--images')).split('\n');
    for (const image of [BASE, ...images.filter((each) => ![IMAGE, IDENTITY_IMAGE].includes(each))]) {
      await screen.step(`getting ${image}`, async (done) =>
        done('image', `${image.split('/').at(-1)}, ${await this.getImage(image)}`),
      );
    }
  }

  private async getImage(image: string): Promise<string> {
    const label = ['--format', '{{index .Config.Labels "larder.stand-in"}}'];
    const standIn = await run('docker', 'image', 'inspect', ...label, image).catch(() => 'not here');
    if (standIn === '') return 'already here';
    // Asks the registry itself: a registry that cannot be reached is noticed within seconds.
    if (await succeeds('docker', 'manifest', 'inspect', image)) {
      await run('docker', 'pull', '--quiet', ...(KURRENTDB.test(image) ? ['--platform=linux/amd64'] : []), image);
      return 'pulled';
    }
    if (KURRENTDB.test(image)) {
      this.files.push('--file', 'test/compose/without-kurrentdb.yml');
      return 'left out: events are kept in Postgres';
    }
    if (!mayInstall())
      throw new Advice(
        `${image} cannot be pulled, and a stand-in for it can be made only by root on Debian. Pull it by hand.`,
      );
    await run('bash', 'test/compose/stand-ins/make.sh', image, `${CACHE}/stand-ins`);
    this.standIns.push(image);
    return 'replaced by a stand-in';
  }

  private async build(): Promise<string> {
    await this.compose('build', '--quiet');
    const bytes = await sizeOf(IMAGE);
    expect(bytes < MAX_IMAGE_BYTES, `the image is ${mb(bytes)} large, more than the limit of ${mb(MAX_IMAGE_BYTES)}`);
    return `${mb(bytes)}, ${mb(bytes - (await sizeOf(BASE)))} more than ${BASE}`;
  }

  private async up(...options: string[]): Promise<string> {
    await this.compose('up', '--detach', '--wait', '--wait-timeout', `${PATIENCE_MS / 1_000}`, ...options);
    const containers = await this.containers();
    for (const container of containers) {
      const { Status, ExitCode, Health } = container.State;
      const oneShot = ['migrate', 'topics'].includes(serviceOf(container));
      const fine = oneShot
        ? Status === 'exited' && ExitCode === 0
        : Status === 'running' && (Health?.Status ?? 'healthy') === 'healthy';
      expect(fine, `${container.Name} is ${Status} (${ExitCode}), ${Health?.Status ?? 'without a health check'}`);
    }
    const { status } = await call<{ status: string }>('GET', `${urlOf('gateway')}/health/ready`);
    expect(status === 'ready', `the gateway is ${status}`);
    return `${containers.length} containers, every service healthy, and found by the gateway`;
  }

  /** The image has the licence of every package in it, and says which they are in the form that scanners read. */
  private async namesItsParts(): Promise<string> {
    const missing = `
      import { readdirSync, readFileSync } from 'node:fs';
      const manifest = /(^|\\/)node_modules\\/(@[^/]+\\/)?[^@/]+\\/package\\.json$/;
      const paths = readdirSync('.', { recursive: true }).filter((path) => manifest.test(path));
      const packages = paths.map((path) => JSON.parse(readFileSync(path, 'utf8')));
      const { components } = JSON.parse(readFileSync('sbom.cdx.json', 'utf8'));
      const notices = readFileSync('THIRD-PARTY-NOTICES', 'utf8');
      const lacking = packages.filter(({ name, version }) =>
        !components.some((each) => each.name === name && each.version === version) ||
        !notices.includes('\\n' + name + ' ' + version + ': '));
      console.log(JSON.stringify({ all: packages.length, lacking: lacking.map(({ name }) => name) }));`;
    const [order] = await this.containers('order');
    const { all, lacking } = JSON.parse(await runIn(order!, missing)) as { all: number; lacking: string[] };
    expect(all > 100 && lacking.length === 0, `of ${all} packages the notices or the SBOM lack ${lacking.join(', ')}`);
    return `${all} packages, each with its licence and in the SBOM`;
  }

  /** Our own containers can neither become root nor write to any file; all are limited, and only what has a port is on the edge. */
  private async locked(): Promise<string> {
    const attempt = `
      const fs = await import('node:fs');
      const refused = (path) => { try { fs.writeFileSync(path, ''); return 'written'; } catch ({ code }) { return code; } };
      console.log(JSON.stringify({
        user: process.getuid(),
        writes: ['/larder/dist/x', '/x', '/tmp/x'].map(refused),
        capabilities: /CapEff:\\s*(\\w+)/.exec(fs.readFileSync('/proc/1/status', 'utf8'))[1],
        program: fs.readFileSync('/proc/1/cmdline', 'utf8').split('\\0')[0],
      }));`;
    for (const container of await this.containers(...own)) {
      const found = JSON.parse(await runIn(container, attempt));
      const expected = {
        user: 1000,
        writes: ['EROFS', 'EROFS', 'EROFS'],
        capabilities: '0000000000000000',
        program: 'node',
      };
      expect(
        JSON.stringify(found) === JSON.stringify(expected),
        `${container.Name} is ${JSON.stringify(found)} instead of ${JSON.stringify(expected)}`,
      );
    }
    for (const { Name, HostConfig } of await this.containers(...own, 'migrate', 'topics')) {
      const { ReadonlyRootfs, CapDrop, SecurityOpt } = HostConfig;
      const fine = ReadonlyRootfs && CapDrop?.includes('ALL') && SecurityOpt?.includes('no-new-privileges:true');
      expect(fine, `${Name} has too many rights: ${JSON.stringify(HostConfig)}`);
    }
    for (const container of await this.containers()) {
      const { CapDrop, Memory, NanoCpus, PidsLimit } = container.HostConfig;
      const limits = { CapDrop, Memory, NanoCpus, PidsLimit };
      const fine = CapDrop?.includes('ALL') && Memory > 0 && NanoCpus > 0 && (PidsLimit ?? 0) > 0;
      expect(fine, `${container.Name} is not limited: ${JSON.stringify(limits)}`);
      const networks = Object.keys(container.NetworkSettings.Networks).sort();
      const isOnEdge = published.some((name) => name === serviceOf(container));
      const expected = isOnEdge ? ['edge', 'inside'] : ['inside'];
      expect(
        `${networks}` === `${expected.map((name) => `${PROJECT}_${name}`)}`,
        `${container.Name} is in the networks ${networks} instead of ${expected}`,
      );
    }
    return 'not root, no capabilities, read-only, limited, apart from the world';
  }

  private async boundToThisMachine(): Promise<string> {
    const bound = (await this.containers()).flatMap(({ HostConfig }) => Object.values(HostConfig.PortBindings).flat());
    const ports = bound.map(({ HostPort }) => HostPort).sort();
    const expected = published.map((name) => process.env[portVariable(name)]!).sort();
    expect(`${ports}` === `${expected}`, `the published ports are ${ports} instead of ${expected}`);
    const open = bound.filter(({ HostIp }) => HostIp !== '127.0.0.1');
    expect(open.length === 0, `other machines can reach ${JSON.stringify(open)}`);
    return `${ports.join(', ')}, on 127.0.0.1 only`;
  }

  /** The provider has one name for its tokens, by which the services find it, and answers on this machine too. */
  private async tokensForAll(): Promise<string> {
    const here = `http://127.0.0.1:${process.env[portVariable('identity')]}`;
    const { issuer } = await call<{ issuer: string }>('GET', `${here}/.well-known/openid-configuration`);
    expect(issuer === ISSUER, `the issuer is ${issuer} instead of ${ISSUER}`);
    const [order] = await this.containers('order');
    const inside = await runIn(order!, `console.log(JSON.stringify(await (await fetch('${ISSUER}/jwks')).json()))`);
    expect(inside === JSON.stringify(await call('GET', `${here}/jwks`)), 'the keys differ inside and outside');
    for (const account of accountNames) {
      const subject = await this.verify(account);
      expect(subject === accounts[account].subject, `the token of ${account} is ${subject}'s`);
    }
    return `${accountNames.length} accounts, tokens by ${issuer}`;
  }

  /** The header of a request that `account` makes, from its file in the container. */
  private async as(account: AccountName): Promise<Headers> {
    const known = this.headers.get(account);
    if (known) return known;
    const text = await this.compose('exec', '-T', 'identity', 'cat', `.data/as/${account}`);
    const header = headerIn(text);
    if (!header) throw new Advice(`the header file of ${account} holds: ${text}`);
    this.headers.set(account, header);
    return header;
  }

  /** Whose token `account` has, by the keys that are published now. */
  private async verify(account: AccountName): Promise<string | undefined> {
    const url = `http://127.0.0.1:${process.env[portVariable('identity')]}/jwks`;
    const keys = createLocalJWKSet(await call<{ keys: JWK[] }>('GET', url));
    const token = (await this.as(account))['authorization']!.replace(/^Bearer /, '');
    return (await jwtVerify(token, keys, { issuer: ISSUER, audience: 'larder', typ: 'at+jwt' })).payload.sub;
  }

  /** Two instances of each service: those of inventory share the partitions, and with them the work, and the gateway sends requests to both. */
  private async twoInstances(): Promise<string> {
    await this.up(...services.flatMap((name) => ['--scale', `${name}=2`]));
    const instances = await this.containers('inventory');
    const clerk = await this.as('clerk');
    const shares = `
      import kafkajs from 'kafkajs';
      const admin = new kafkajs.Kafka({ brokers: ['kafka:9092'], logLevel: kafkajs.logLevel.NOTHING }).admin();
      await admin.connect();
      const { groups } = await admin.describeGroups(['inventory']);
      const assigned = groups[0].members.map((it) => kafkajs.AssignerProtocol.MemberAssignment.decode(it.memberAssignment));
      console.log(JSON.stringify(assigned.map(({ assignment }) => Object.values(assignment).flat().length)));
      await admin.disconnect();`;
    await until('two instances share 12 partitions', async () => (await runIn(instances[0]!, shares)) === '[6,6]');

    const answered = `
      const headers = ${JSON.stringify(await this.as('metrics'))};
      const metrics = await (await fetch('http://127.0.0.1:3002/metrics', { headers })).text();
      console.log(/^http_request_duration_seconds_count.*route="\\/reservations.* (\\d+)$/m.exec(metrics)?.[1] ?? 0);`;
    await until('the gateway sends requests to both instances', async () => {
      await call('GET', `${urlOf('inventory')}/reservations/${randomUUID()}`, undefined, clerk).catch(() => {});
      const counts = await Promise.all(instances.map((instance) => runIn(instance, answered)));
      return counts.every((count) => Number(count) > 0);
    });

    const orders = 50;
    const before = await readStock(clerk);
    await repeatConcurrently(10, orders, () => this.checkOut());
    const after = await readStock(clerk);
    expect(
      after.shipped - before.shipped === 2 * orders,
      `${after.shipped - before.shipped} units were shipped instead of ${2 * orders}`,
    );
    expect(
      before.available - after.available === 2 * orders,
      `${before.available - after.available} units less are available instead of ${2 * orders}`,
    );
    return `${orders} orders completed by two instances of each service`;
  }

  /**
   * One instance of each service is killed, while customers read and order. Whatever is safe to send again is answered: reads
   * by the gateway, which asks the other instance, and orders when they are sent again with the same key. The restart
   * policy restarts the killed processes, which then do the work that has come in meanwhile.
   */
  private async crash(): Promise<string> {
    const killed = (await Promise.all(services.map((name) => this.containers(name)))).map(([first]) => first!);
    const { orderId } = await this.checkOut();
    const clerk = await this.as('clerk');
    const paths = [`/orders/${orderId}`, '/stock', `/payments/${orderId}`];
    const orders: OrderView[] = [];
    let [isOver, reads, again] = [false, 0, 0];
    const read = async () => {
      for (; !isOver; reads++) await call('GET', `${urlOf('gateway')}${paths[reads % 3]}`, undefined, clerk);
    };
    const write = async () => {
      while (!isOver) {
        const key = { 'idempotency-key': randomUUID() };
        await until('an order is taken', async () => {
          again++;
          return orders.push(await this.place(key)) > 0;
        });
      }
    };
    const kill = async () => {
      for (const each of killed) await this.kill(each);
      await sleep(3_000);
      isOver = true;
    };
    await Promise.all([kill(), ...[1, 2, 3, 4].flatMap(() => [read(), write()])]).finally(() => (isOver = true));
    expect(reads > 100 && orders.length > 10, `only ${reads} reads and ${orders.length} orders were made meanwhile`);
    await until('the killed instances are healthy again', async () => {
      const now = await this.containers(...services);
      const those = now.filter(({ Id }) => killed.some((each) => each.Id === Id));
      return those.every(({ RestartCount, State }) => RestartCount === 1 && State.Health?.Status === 'healthy');
    });
    for (const order of orders) await this.awaitCompleted(order.orderId);
    const resent = again - orders.length;
    return `one of each killed and restarted by its policy: ${reads} reads, none lost; ${orders.length} orders, ${resent} sent again, all completed`;
  }

  /**
   * SIGKILL from outside: nothing inside a container can kill its first process, and after `docker kill` the restart policy
   * does not apply.
   */
  private async kill({ State }: Container): Promise<void> {
    const program = `process.kill(${State.Pid}, 'SIGKILL')`;
    await run('docker', 'run', '--rm', '--pid=host', '--user=0', '--network=none', IMAGE, 'node', '--eval', program);
  }

  /** Without Kafka the gateway goes on sending requests, and the services go on taking orders: they wait for it in the store. */
  private async withoutKafka(): Promise<string> {
    const everyServiceIs = (status: 'degraded' | 'ready') =>
      until(`every service is ${status}`, async () => {
        const found = (await this.containers(...services)).map((each) => runIn(each, ASK_READINESS));
        return (await Promise.all(found)).every((each) => each === status);
      });
    await this.compose('stop', 'kafka');
    await everyServiceIs('degraded');
    const orders: OrderView[] = [];
    // So long that the gateway looks at each service several times.
    for (let second = 0; second < 6; second++, await sleep(1_000)) orders.push(await this.place());
    await this.compose('start', 'kafka');
    await everyServiceIs('ready');
    for (const { orderId } of orders) await this.awaitCompleted(orderId);
    return `${orders.length} orders taken while it was stopped, completed afterwards`;
  }

  private async stopOnSignal(): Promise<string> {
    await this.compose('stop', ...services);
    const stopped = await this.containers(...services);
    for (const { Name, State } of stopped) expect(State.ExitCode === 0, `${Name} ended with ${State.ExitCode}`);
    return `${stopped.length} services stopped on SIGTERM, exit code 0`;
  }

  private async surviveDown(): Promise<string> {
    const read = async () => {
      let found = '';
      // A service that has just begun may be too slow for its first answer, and says that one should try again.
      await until('the orders can be read', async () => {
        const { items } = await call<{ items: OrderView[] }>(
          'GET',
          `${urlOf('order')}/orders?status=completed`,
          undefined,
          await this.as('customer'),
        );
        found = JSON.stringify(items);
        return true;
      });
      return found;
    };
    await this.up();
    const before = await read();
    await this.compose('down');
    await this.up();
    await this.verify('customer');
    const after = await read();
    expect(after === before && before !== '[]', 'the orders have changed or are gone');
    await this.checkOut();
    return 'down and up again: every order is still there, for a token from before';
  }

  private async leaveNothing(): Promise<string> {
    await this.compose('down', '--volumes');
    const label = ['--filter', `label=com.docker.compose.project=${PROJECT}`];
    const left = await Promise.all([
      run('docker', 'ps', '--all', '--quiet', ...label),
      run('docker', 'volume', 'ls', '--quiet', ...label),
      run('docker', 'network', 'ls', '--quiet', ...label),
    ]);
    expect(left.join('') === '', `these containers, volumes or networks are left: ${left.join(' ')}`);
    return 'no container, volume or network is left';
  }

  /** Places an order for two units, and resolves when it is completed. */
  private async checkOut(): Promise<OrderView> {
    const order = await this.place({ prefer: 'wait=10' });
    return order.settled ? order : this.awaitCompleted(order.orderId);
  }

  private async awaitCompleted(orderId: string): Promise<OrderView> {
    let order: OrderView | undefined;
    const customer = await this.as('customer');
    await until(`order ${orderId} is settled`, async () => {
      order = await call<OrderView>('GET', `${urlOf('order')}/orders/${orderId}`, undefined, customer);
      return order.settled;
    });
    expect(order!.status === 'completed', `order ${orderId} is ${order!.status}`);
    return order!;
  }

  private async place(headers: Headers = {}): Promise<OrderView> {
    const body = {
      lines: [{ sku: 'olive-oil', quantity: 2 }],
      payment: { token: 'tok_approved' },
    };
    const customer = await this.as('customer');
    return call('POST', `${urlOf('order')}/orders`, body, { 'idempotency-key': randomUUID(), ...customer, ...headers });
  }

  /** The project's containers, including stopped ones: those of some services, or all. */
  private async containers(...of: string[]): Promise<Container[]> {
    const ids = (await this.compose('ps', '--all', '--quiet', ...of)).split('\n').filter(Boolean);
    return ids.length > 0 ? JSON.parse(await run('docker', 'inspect', ...ids)) : [];
  }

  private compose(...args: string[]): Promise<string> {
    return run(...this.command(...args));
  }

  /** The logs of the unhealthy containers, or of our services if there are none. */
  async lastWords(): Promise<string> {
    try {
      const unhealthy = (await this.containers()).filter(
        ({ State }) => State.ExitCode !== 0 || (State.Health?.Status ?? 'healthy') !== 'healthy',
      );
      const names = unhealthy.length > 0 ? unhealthy.map(serviceOf) : services;
      return await this.compose('logs', '--tail', '40', ...new Set(names));
    } catch (error) {
      return String(error);
    }
  }

  /** Removes the stand-ins from an engine that is not ours, because they have the names of the real images. */
  async cleanUp(): Promise<void> {
    await runAnyway(...this.command('down', '--volumes', '--remove-orphans'));
    await runAnyway('docker', 'image', 'rm', '--force', IMAGE, IDENTITY_IMAGE, ...(ownEngine() ? [] : this.standIns));
  }

  private command(...args: string[]): string[] {
    return ['docker', 'compose', '--progress', 'quiet', '--project-name', PROJECT, ...this.files, ...args];
  }
}

/** The stock of olive oil, once none of it is reserved any longer. */
async function readStock(clerk: Headers): Promise<{ available: number; shipped: number }> {
  let found: { available: number; reserved: number; shipped: number } | undefined;
  await until('no stock is reserved', async () => {
    found = await call('GET', `${urlOf('inventory')}/stock/olive-oil`, undefined, clerk);
    return found?.reserved === 0;
  });
  return found!;
}

/** Polls until `look` returns true; an error counts as false. @throws Advice when that takes too long */
async function until(what: string, look: () => Promise<boolean>): Promise<void> {
  let last: unknown;
  for (const giveUpAt = performance.now() + PATIENCE_MS; performance.now() < giveUpAt; await sleep(200)) {
    interrupted.signal.throwIfAborted();
    try {
      if (await look()) return;
    } catch (error) {
      last = error;
    }
  }
  throw new Advice(
    `Waited ${PATIENCE_MS / 1000} s, but this did not happen: ${what}.${last ? ` Last error: ${last}` : ''}`,
  );
}

/** Calls `work` `times` times, `many` calls at a time. */
async function repeatConcurrently(many: number, times: number, work: () => Promise<unknown>): Promise<void> {
  let left = times;
  const worker = async () => {
    while (left-- > 0) await work();
  };
  await Promise.all(Array.from({ length: many }, worker));
}

function expect(condition: unknown, complaint: string): void {
  if (!condition) throw new Advice(complaint);
}

/** Runs a JavaScript module in one of our containers, and returns its output. */
const runIn = ({ Id }: Container, program: string) =>
  run('docker', 'exec', Id, 'node', '--input-type=module', '--eval', program);

/** Bytes. */
const sizeOf = async (image: string) => Number(await run('docker', 'image', 'inspect', '--format', '{{.Size}}', image));

const mb = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
const serviceOf = ({ Config }: Container) => Config.Labels['com.docker.compose.service']!;

/** Whether a program that only reads ends with 0 within 15 seconds. */
const succeeds = (...command: string[]) =>
  execute(command, AbortSignal.any([interrupted.signal, AbortSignal.timeout(15_000)])).then(
    () => true,
    () => false,
  );

/** Runs a program, unless we are interrupted, and returns its standard output. @throws Advice with the end of its output */
const run = (...command: string[]) => execute(command, interrupted.signal);

/** Runs a program that cleans up: it is not interrupted, and its failure does not stop what comes next. */
const runAnyway = (...command: string[]) => execute(command).catch((error: Error) => screen.print(error.message));

function execute([program, ...args]: string[], signal?: AbortSignal): Promise<string> {
  signal?.throwIfAborted();
  return new Promise((done, failed) => {
    // It has a process group of its own: Ctrl-C in a terminal reaches it only through us.
    const child = spawn(program!, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    let printed = '';
    let output = '';
    child.stdout.on('data', (chunk) => (printed += chunk));
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    const stop = () => void (child.pid && process.kill(-child.pid, 'SIGTERM'));
    signal?.addEventListener('abort', stop);
    child.on('error', failed);
    child.on('close', (code) => {
      signal?.removeEventListener('abort', stop);
      if (code === 0) return done(printed.trimEnd());
      const end = output.trimEnd().split('\n').slice(-30).join('\n');
      failed(new Advice(`\`${program} ${args.join(' ')}\` failed (${code}):\n${end}`));
    });
  });
}
