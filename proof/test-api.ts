/**
 * `npm run test:api`: schemathesis tries every operation of the OpenAPI documents on the three services of a shop of its
 * own, with what the documents allow and what they do not, and a few of each through the gateway. The shop has goods, orders in every state, an inbox, dead
 * letters and a provider's signature (api/hooks.py), so that requests get further than a 404. It may find nothing but the
 * answers that api/accepted.json lists, each with a reason.
 *
 *   fixtures ─▶ examples, coverage, fuzzing, stateful ─▶ api/accepted.json ─▶ exit code, .cache/test-api.json
 */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { inventoryEvents, orderEvents } from '#contracts';
import { PostgresMessageBus } from '#message-bus/postgres';
import { SystemClock } from '#runtime';
import { type Service, services } from '../apps/shop.js';
import { Advice } from '../scripts/lib/advice.js';
import { call } from '../scripts/lib/api.js';
import { readCommandLine, UsageError, wholeNumber } from '../scripts/lib/command-line.js';
import { runProgram } from '../scripts/lib/programs.js';
import type { Output } from '../scripts/lib/progress-bar.js';
import { bold, green, red } from '../scripts/lib/screen.js';
import type { Shop } from './shop/open-shop.js';
import { onTrial } from './shop/trial.js';

const FOLDER = 'proof/api';
const RESULTS = '.cache/test-api.json';
/** Python packages, installed here once per version of requirements.txt. */
const VENV = '.cache/schemathesis';
const SECRET = 'the provider of test:api';
/** By default a run takes about five minutes. */
const EXAMPLES = 25;
const SEED = 1;
/** The part of them that is tried at the gateway, too: what it forwards, its services have been tried with. */
const THROUGH_GATEWAY = 0.2;

const targets = [...services, 'gateway'] as const;
type Target = (typeof targets)[number];

interface Flags {
  readonly only: readonly Target[];
  readonly examples: number;
  readonly seed: number;
}

export const usage = 'npm run test:api -- [--only order,inventory,payment,gateway] [--examples 25] [--seed 1].';

export async function main(argv: readonly string[]): Promise<void> {
  process.exitCode = await testApi(argv, process);
}

/** Returns the exit code: 0, 1 when something is found, 2 for a wrong command line. */
async function testApi(argv: readonly string[], out: Output): Promise<number> {
  const flags = parseFlags(argv, out);
  if (!flags) return 2;
  rmSync(RESULTS, { force: true });
  await installSchemathesis(out);
  out.stderr.write('Opening a separate shop …\n');
  const env = { order: { ORDER_DEADLINE: '1h' }, payment: { WEBHOOK_SECRET: SECRET } };
  return onTrial({ bus: 'postgres', env }, async ({ shop }) => {
    const fixtures = await furnish(shop);
    const verdicts: Verdict[] = [];
    for (const target of flags.only) {
      out.stdout.write(`\n${bold(target)}\n`);
      const url = target === 'gateway' ? await shop.addGateway() : shop.urls[target][0]!;
      verdicts.push(await tryTarget(shop, { target, url }, fixtures.get(target)!, flags));
    }
    const tests = verdicts.flatMap((verdict) => verdict.tests);
    const failed = tests.filter(({ isFine }) => !isFine).length;
    const requests = verdicts.reduce((sum, each) => sum + each.requests, 0);
    const summary = `${tests.length - failed} tests passed, ${failed} failed, in ${requests} requests`;
    out.stdout.write(`\n${failed > 0 ? red(summary) : green(summary)}\n`);
    mkdirSync('.cache', { recursive: true });
    writeFileSync(RESULTS, JSON.stringify({ passed: tests.length - failed, failed, requests }));
    return failed === 0 && verdicts.every(({ exitCode }) => exitCode === 0) ? 0 : 1;
  });
}

function parseFlags(argv: readonly string[], out: Output): Flags | undefined {
  const syntax = {
    usage,
    options: { only: { type: 'string' }, examples: { type: 'string' }, seed: { type: 'string' } },
  } as const;
  return readCommandLine(argv, syntax, out, ({ values }) => ({
    only: (values.only?.split(',') ?? targets).map((name) => {
      const target = targets.find((each) => each === name);
      if (!target) throw new UsageError(`There is no service "${name}".`);
      return target;
    }),
    examples: wholeNumber(values.examples ?? `${EXAMPLES}`, { what: 'a number of examples', min: 1 }),
    seed: wholeNumber(values.seed ?? `${SEED}`, { what: 'a seed' }),
  }));
}

/** @throws Advice when Python or its packages cannot be had */
async function installSchemathesis({ stderr }: Output): Promise<void> {
  const wanted = readFileSync(join(FOLDER, 'requirements.txt'), 'utf8');
  const marker = join(VENV, 'requirements.txt');
  if (existsSync(marker) && readFileSync(marker, 'utf8') === wanted) return;
  stderr.write('Installing schemathesis …\n');
  rmSync(VENV, { recursive: true, force: true });
  await runPython('python3', '-m', 'venv', VENV);
  // A package whose hash is another, or that is not listed, is refused.
  const packages = ['--require-hashes', '--requirement', join(FOLDER, 'requirements.txt')];
  await runPython(join(VENV, 'bin/pip'), 'install', '--quiet', ...packages);
  writeFileSync(marker, wanted);
}

async function runPython(program: string, ...args: readonly string[]): Promise<void> {
  const code = await runProgram(program, args, { stdio: ['ignore', 'inherit', 'inherit'] }).catch(() => undefined);
  if (code === 0) return;
  if (code !== undefined && code > 128) process.exit(code);
  const what = code === undefined ? `${program} cannot be run` : `${program} ${args.slice(0, 2).join(' ')} failed`;
  throw new Advice(`${what}: test:api needs Python 3.11 or newer with venv (Debian: python3-venv), and pypi.org.`);
}

/** What exists in the shop, by the name of the parameter that names it. */
type Fixtures = ReadonlyMap<Target, object>;

const PRICES = { 'olive-oil': 1299, honey: 895, tea: 300 };
/** As many as a run may skip, call off or cancel. */
const OF_EACH = 12;

async function furnish(shop: Shop): Promise<Fixtures> {
  await shop.setPrices(PRICES);
  await shop.stockUp({ 'olive-oil': 500_000, honey: 500_000, tea: 500_000 });
  const place = (token: string) => shop.place({ lines: [{ sku: 'honey', quantity: 2 }], token });
  const placeAll = (token: string) => Promise.all(Array.from({ length: OF_EACH }, () => place(token)));
  const [completed, refused, slow] = await Promise.all(
    ['tok_approved', 'tok_capture_refused', 'tok_down_30s'].map(placeAll),
  );
  await Promise.all(completed!.map((orderId) => shop.settled(orderId)));
  await waitForItems(shop, 'order', 'attention');

  const bus = await PostgresMessageBus.open({ url: shop.databases.bus, clock: new SystemClock() });
  for (const [topic, type] of [
    [orderEvents, 'OrderPlaced'],
    [inventoryEvents, 'StockReserved'],
  ] as const) {
    const poison = Array.from({ length: OF_EACH }, () => {
      const envelope = { id: randomUUID(), source: '/elsewhere', time: new Date().toISOString(), correlationId: 'api' };
      return { ...envelope, type, key: randomUUID(), data: { lines: 'many' } };
    });
    await bus.publish(topic.name, poison);
  }
  await bus.close();

  const orderId = [...completed!, ...refused!, ...slow!];
  const common = { orderId, sku: Object.keys(PRICES), secret: SECRET };
  const perService = services.map(async (service) => {
    const letters = await waitForItems<{ id: string }>(shop, service, 'dead-letters');
    return [service, { ...common, id: letters.map(({ id }) => id), position: `${service}:1` }] as const;
  });
  const found = await Promise.all(perService);
  // At the gateway, what is a service's own stands under its name.
  const ids = found.map(([service, { id }]) => [`${service} id`, id]);
  const atGateway = { ...common, ...Object.fromEntries(ids), position: 'order:1' };
  return new Map<Target, object>([...found, ['gateway', atGateway]]);
}

function waitForItems<T>(shop: Shop, service: Service, list: 'attention' | 'dead-letters'): Promise<T[]> {
  return shop.until(`${service} has ${OF_EACH} ${list}`, async () => {
    const url = `${shop.urls[service][0]}/admin/${list}?limit=100`;
    const { items } = await call<{ items: T[] }>('GET', url, undefined, shop.anybody);
    return { done: items.length >= OF_EACH, found: items };
  });
}

interface Verdict {
  /** An operation in a phase is a test. */
  readonly tests: readonly { readonly name: string; readonly isFine: boolean }[];
  readonly requests: number;
  readonly exitCode: number;
}

async function tryTarget(
  shop: Shop,
  { target, url }: { readonly target: Target; readonly url: string },
  fixtures: object,
  { examples, seed }: Flags,
): Promise<Verdict> {
  const isGateway = target === 'gateway';
  const report = resolve(VENV, `${target}.ndjson`);
  const checks = new Set(
    (JSON.parse(readFileSync(join(FOLDER, 'accepted.json'), 'utf8')) as { check: string }[]).map(({ check }) => check),
  );
  const options = {
    url,
    phases: isGateway ? 'examples,coverage,fuzzing' : 'examples,coverage,fuzzing,stateful',
    checks: 'all',
    'exclude-path': isGateway ? '/stream' : '/admin/activity', // They are never answered to the end.
    'exclude-checks': [...checks].join(','),
    'max-examples': `${isGateway ? Math.ceil(examples * THROUGH_GATEWAY) : examples}`,
    ...(isGateway && { 'exclude-tag': 'Login' }), // A person logs in: login.spec.ts does.
    seed: `${seed}`,
    'generation-database': 'none',
    'request-timeout': '20',
    header: `Authorization: ${shop.anybody['authorization']}`,
    report: 'ndjson',
    'report-ndjson-path': report,
  };
  const flagsOf = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
  const args = ['run', `${url}/docs-json`, ...flagsOf, '--continue-on-failure', '--no-color'];
  const exitCode = await runProgram(resolve(VENV, 'bin/st'), args, {
    cwd: VENV, // It keeps notes of its own where it runs.
    env: {
      ...process.env,
      SCHEMATHESIS_HOOKS: 'hooks',
      PYTHONPATH: [resolve(FOLDER), process.env['PYTHONPATH']].filter(Boolean).join(delimiter),
      PYTHONDONTWRITEBYTECODE: '1',
      LARDER_FIXTURES: JSON.stringify(fixtures),
      LARDER_ACCEPTED: resolve(VENV, `${target}.accepted`),
    },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return { ...readReport(report), exitCode };
}

/** Reads schemathesis' own record of a run: a line of JSON for each event. */
function readReport(path: string): Omit<Verdict, 'exitCode'> {
  const tests = new Map<string, boolean>();
  let requests = 0;
  for (const line of readFileSync(path, 'utf8').trimEnd().split('\n')) {
    const { ScenarioFinished: scenario } = JSON.parse(line) as { ScenarioFinished?: Scenario };
    if (scenario === undefined || scenario.status === 'skip') continue;
    requests += Object.keys(scenario.recorder.interactions ?? {}).length;
    const name = `${scenario.phase}: ${scenario.recorder.label}`;
    tests.set(name, (tests.get(name) ?? true) && scenario.status === 'success');
  }
  return { tests: [...tests].map(([name, isFine]) => ({ name, isFine })), requests };
}

interface Scenario {
  readonly phase: string;
  readonly status: 'success' | 'failure' | 'error' | 'interrupted' | 'skip';
  readonly recorder: { readonly label: string; readonly interactions?: object };
}
