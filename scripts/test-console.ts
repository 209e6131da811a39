/**
 * `npm run test:console`: the console in a real browser, on a shop of its own.
 *
 *   npm start ─▶ Chromium ─▶ log in ─▶ order ─▶ its story ─▶ a file ─▶ the inbox ─▶ every page: axe, in light and dark ─▶ closed
 *
 * Every page of every check is watched: what it prints to the browser's console as an error, what it asks another origin
 * for, and a policy that allows anything `unsafe-` fail the check. With --pictures, docs/console/ is made anew.
 *
 * Exit code 0 when all checks passed, 1 when one failed, 2 when this machine has no Chromium. The counts are written to
 * .cache/test-console.json.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Browser, type BrowserContext, type Page, type Route } from 'playwright-core';
import { orderEvents } from '#contracts';
import { PostgresMessageBus } from '#message-bus/postgres';
import { SystemClock } from '#runtime';
import { postgresPool } from '#runtime/postgres';
import type { Flow, Story, StoryFact } from '../apps/gateway/src/api.js';
import { services } from '../apps/shop.js';
import type { AccountName } from './lib/accounts.js';
import { portVariable } from './lib/addresses.js';
import { Advice } from './lib/advice.js';
import { startChromium } from './lib/chromium.js';
import { readCommandLine } from './lib/command-line.js';
import { freePort, serverIn } from './lib/embedded-postgres.js';
import { green, red, Screen } from './lib/screen.js';

const RESULTS = '.cache/test-console.json';
const PICTURES = 'docs/console';
/** Generous: a busy machine must not fail a check. */
const PATIENCE_MS = 60_000;
const WIDE = { width: 1280, height: 860 };
/** A small telephone. */
const NARROW = { width: 380, height: 780 };
const SCHEMES = ['light', 'dark'] as const;
/** How late a page may be, in milliseconds. Many times what it is to take: the figures are printed, and this machine may be busy. */
const GROSS = { fact: 2_000, paint: 5_000, gateway: 20_000 };
/** Notes of every fact, from the second reading of the page on, how long after it was recorded the page has it. */
const WATCH_FACTS = `
  const known = new Set();
  let began;
  window.factsMs = [];
  new MutationObserver(() => {
    const times = document.querySelectorAll('.list tbody time');
    if (times.length > 0) began ??= Date.now();
    for (const time of times) {
      const fact = time.closest('tr').innerText;
      const at = Date.parse(time.dateTime);
      if (!known.has(fact) && at > began) window.factsMs.push(Date.now() - at);
      known.add(fact);
    }
  }).observe(document, { childList: true, subtree: true });
`;
/** What a customer or an operator could write to harm who reads it. */
const MARKUP = '<img src=x onerror="throw 1"><script>throw 2</script>';

const OPERATORS_PAGES = [
  'Shop',
  'Orders',
  'Inbox',
  'Dead letters',
  'Read models',
  'Flow',
  'Trouble',
  'Worlds',
  'Open a story',
];

const screen = new Screen();

export const usage = 'npm run test:console -- [--pictures].';

export async function main(argv: readonly string[]): Promise<void> {
  const syntax = { usage, options: { pictures: { type: 'boolean' } } } as const;
  const flags = readCommandLine(argv, syntax, process, ({ values }) => values);
  if (!flags) process.exit(2);
  const browser = await startChromium();
  if (!browser) {
    console.error('test:console cannot run: there is no Chromium. Install it (Debian: chromium).');
    process.exit(2);
  }
  rmSync(RESULTS, { force: true });
  const shop = await screen.step('opening a shop', async (done) => {
    const opened = await openShop();
    done('shop', opened.url);
    return opened;
  });
  const test = new ConsoleTest(browser, shop);
  let failure: unknown;
  try {
    await test.run();
    if (flags.pictures) await test.takePictures();
  } catch (error) {
    failure = error;
    screen.print(red(`  failed: ${error instanceof Error ? error.message : error}`));
  }
  await browser.close();
  await shop.close();
  screen.end();
  mkdirSync('.cache', { recursive: true });
  writeFileSync(RESULTS, JSON.stringify({ passed: test.passed, failed: failure ? 1 : 0 }));
  console.log(failure ? red('test:console failed: see above.') : green(`${test.passed} checks passed`));
  process.exit(failure ? 1 : 0);
}

interface OpenShop {
  readonly url: string;
  /** Of its databases. */
  readonly folder: string;
  /** How long after the last service the gateway was ready. */
  readonly gatewayMs: number;
  close(): Promise<void>;
}

/** `npm start` as anybody has it, beside a shop that may be open. */
async function openShop(): Promise<OpenShop> {
  const folder = mkdtempSync(join(tmpdir(), 'larder-console-'));
  chmodSync(folder, 0o755); // Postgres has a user of its own where we are root.
  const names = [...services, 'gateway' as const, 'identity' as const, 'postgres' as const];
  const ports = await Promise.all(names.map(async (name) => [portVariable(name), `${await freePort()}`] as const));
  const env = { ...process.env, LARDER_DATA: folder, AUTH_ISSUER: '', ...Object.fromEntries(ports) };
  const child = spawn(process.execPath, ['scripts/run.mjs', 'start'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  process.on('exit', () => child.kill());
  let output = '';
  child.stdout.on('data', (text) => (output += text));
  for (const sinceMs = performance.now(); !output.includes('Larder is open.'); await sleep(50)) {
    if (child.exitCode !== null || performance.now() - sinceMs > 2 * PATIENCE_MS)
      throw new Advice(`It did not open.\n${output}`);
  }
  return {
    url: `http://localhost:${env['GATEWAY_PORT' as keyof typeof env]}`,
    folder,
    gatewayMs: msAfterServices(output),
    async close() {
      const ended = once(child, 'exit');
      child.kill('SIGINT');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** By what `npm start` prints: services and gateway start at the same time, and each line ends with how long that took. */
function msAfterServices(output: string): number {
  const secondsOf = (name: string) => Number(new RegExp(`^ *${name} .* ([\\d.]+) s$`, 'm').exec(output)?.[1]);
  return Math.round(1_000 * Math.max(0, secondsOf('gateway') - Math.max(...services.map(secondsOf))));
}

interface Look {
  readonly scheme?: (typeof SCHEMES)[number];
  readonly size?: { readonly width: number; readonly height: number };
}

class ConsoleTest {
  passed = 0;
  /** What no page may do. */
  private readonly complaints: string[] = [];
  /** Where the first order's story is, of an order that has ended. */
  private settled = '';
  /** Of one that waits for a person. */
  private waiting = '';
  private readonly sessions = new Map<AccountName, Awaited<ReturnType<BrowserContext['storageState']>>>();

  constructor(
    private readonly browser: Browser,
    private readonly shop: OpenShop,
  ) {}

  private get url(): string {
    return this.shop.url;
  }

  async run(): Promise<void> {
    await this.check('nobody', () => this.asksToLogIn());
    await this.check('customer', () => this.logsIn('customer', ['Shop', 'Orders', 'Worlds', 'Open a story']));
    await this.check('order', () => this.orders());
    await this.check('live', () => this.isTold());
    await this.check('paint', () => this.paintsSoon());
    await this.check('text', () => this.staysText());
    await this.check('operator', () => this.logsIn('operator', OPERATORS_PAGES));
    await this.check('story', () => this.tellsStory());
    await this.check('facts', () => this.showsFactsSoon());
    await this.check('keyboard', () => this.takesKeys());
    await this.check('file', () => this.savesAndOpens());
    await this.check('long', () => this.scrollsThousand());
    await this.check('worlds', () => this.runsWorlds());
    await this.check('world’s story', () => this.opensSimulated());
    await this.check('orders', () => this.listsOrders());
    await this.check('trouble', () => this.saysWhatFails());
    await this.check('dead letters', () => this.decidesAboutLetters());
    await this.check('read models', () => this.rebuilds());
    await this.check('flow', () => this.flows());
    await this.check('trouble made', () => this.breaksAndHeals());
    for (const scheme of SCHEMES) {
      await this.check(`axe, ${scheme}`, () => this.isAccessible({ scheme, size: WIDE }));
      await this.check(`axe, ${scheme}, narrow`, () => this.isAccessible({ scheme, size: NARROW }));
    }
    await this.check('documents', () => this.documents());
    await this.check('inbox', () => this.decides());
    await this.check('log out', () => this.logsOut());
  }

  private async check(what: string, work: () => Promise<string>): Promise<void> {
    await screen.step(what, async (done) => {
      const result = await work();
      if (this.complaints.length > 0) throw new Error(`${what}: ${this.complaints.join('\n')}`);
      done(what, result);
      this.passed++;
    });
  }

  /** A page of somebody who is logged in, which is watched. */
  private async open(path: string, account?: AccountName, { scheme = 'light', size = WIDE }: Look = {}): Promise<Page> {
    const session = account && this.sessions.get(account);
    const context = await this.browser.newContext({
      colorScheme: scheme,
      viewport: size,
      acceptDownloads: true,
      ...(session && { storageState: session }),
    });
    context.setDefaultTimeout(PATIENCE_MS);
    const page = await context.newPage();
    page.on('pageerror', (error) => this.complaints.push(`${path} threw ${error.message}`));
    page.on('console', (message) => {
      // A browser prints every answer above 399; whether it was expected is the check's to say.
      if (message.type() !== 'error' || message.text().startsWith('Failed to load resource')) return;
      this.complaints.push(`${path} printed ${message.text()}`);
    });
    page.on('request', (request) => {
      const isElsewhere = !request.url().startsWith(this.url) && !/^(blob|data):/.test(request.url());
      if (isElsewhere && !request.isNavigationRequest()) this.complaints.push(`${path} asked ${request.url()}`);
    });
    page.on('response', async (response) => {
      if (!response.request().isNavigationRequest() || !response.url().startsWith(this.url)) return;
      const policy = response.headers()['content-security-policy'] ?? '';
      if (response.ok() && (!policy.startsWith("default-src 'none'") || policy.includes('unsafe-')))
        this.complaints.push(`${path} has the policy "${policy}"`);
    });
    await page.goto(this.url + path);
    return page;
  }

  private async asksToLogIn(): Promise<string> {
    for (const path of [
      '/',
      '/console/orders',
      '/console/inbox',
      '/console/dead-letters',
      '/console/read-models',
      '/console/flow',
    ]) {
      const page = await this.open(path);
      await page.getByRole('main').getByRole('link', { name: 'Log in' }).waitFor();
      await page.context().close();
    }
    return 'every page leads to the login';
  }

  private async logsIn(account: AccountName, pages: readonly string[]): Promise<string> {
    const page = await this.open('/console/orders');
    await page.getByRole('main').getByRole('link', { name: 'Log in' }).click();
    await page.locator(`button[value="${account}"]`).click();
    await page.getByRole('heading', { name: 'Orders' }).waitFor();
    expectSame(new URL(page.url()).pathname, '/console/orders', 'where the login leads back to');
    expectSame(await page.locator('nav a').allTextContents(), pages, `what ${account} is shown`);
    this.sessions.set(account, await page.context().storageState());
    await page.context().close();
    return `${pages.join(', ')}, and no page besides`;
  }

  private async orders(): Promise<string> {
    const page = await this.open('/', 'customer');
    await place(page, 'Olive oil', 'tok_approved');
    await page.locator('.story-head [data-status="completed"]').waitFor();
    this.settled = new URL(page.url()).pathname;
    await page.goto(this.url);
    await place(page, 'Honey', 'tok_capture_refused');
    await page.locator('.story-head [data-status="confirmed"]').waitFor();
    this.waiting = new URL(page.url()).pathname;
    await page.goto(`${this.url}/console/inbox`);
    await page.getByText('This page is not for customer.').waitFor();
    await page.context().close();
    return 'an order leads to its story, which is live until its end';
  }

  /** Nobody can ask from time to time here, so what a page shows anew it was told of. */
  private async isTold(): Promise<string> {
    const [list, shop] = [await this.open('/console/orders', 'customer'), await this.open('/', 'customer')];
    for (const page of [list, shop]) {
      await page.addInitScript('window.setInterval = () => 0');
      const begins = page.waitForResponse(`${this.url}/stream`);
      await page.reload();
      await begins;
    }
    await list.locator('.orders').waitFor();
    await place(shop, 'Olive oil', 'tok_approved');
    await shop.locator('.story-head [data-status="completed"]').waitFor();
    const row = list.locator('tr', { has: list.locator(`a[href="${new URL(shop.url()).pathname}"]`) });
    await row.locator('[data-status="completed"]').waitFor();
    for (const page of [list, shop]) await page.context().close();
    return 'a list and a story show what happens without asking again';
  }

  private async paintsSoon(): Promise<string> {
    const page = await this.open('/', 'customer');
    await page.locator('.shelf').first().waitFor();
    const paint = `performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null`;
    let ms: number | null = null;
    for (let tries = 0; ms === null && tries < 50; tries++) {
      ms = await page.evaluate<number | null>(paint);
      if (ms === null) await sleep(100);
    }
    await page.context().close();
    const { gatewayMs } = this.shop;
    // What was not found in the output of the start is no number.
    if (ms === null || ms > GROSS.paint || !(gatewayMs <= GROSS.gateway))
      throw new Error(`The first paint took ${ms} ms, and the start ${gatewayMs} ms more for the gateway.`);
    return `first after ${Math.round(ms)} ms; the start took ${gatewayMs} ms more for the gateway`;
  }

  /** In the page of an order that is on its way: what is told of it, and how long after it has happened. */
  private async showsFactsSoon(): Promise<string> {
    const all: number[] = [];
    for (const token of ['tok_slow', 'tok_capture_fails_twice', 'tok_slow']) {
      const [customer, page] = [await this.open('/', 'customer'), await this.open('/', 'operator')];
      await page.addInitScript(WATCH_FACTS);
      await place(customer, 'Honey', token);
      await page.goto(`${this.url}${new URL(customer.url()).pathname}`);
      await page.locator('.story-head [data-status="completed"]').waitFor();
      await page.locator('.list').getByRole('button', { name: 'OrderCompleted' }).waitFor();
      all.push(...(await page.evaluate<number[]>('window.factsMs')));
      for (const each of [customer, page]) await each.context().close();
    }
    const sorted = all.toSorted((a, b) => a - b);
    const [median, most] = [sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
    if (median === undefined || most === undefined) throw new Error('No fact was told while somebody looked.');
    if (median > GROSS.fact) throw new Error(`A fact was shown ${median} ms after its append.`);
    return `${all.length} facts, each shown ${median} ms after its append (median), ${most} ms at most`;
  }

  private async staysText(): Promise<string> {
    const page = await this.open(`/console/orders?customerId=${encodeURIComponent(MARKUP)}`, 'customer');
    await page.getByRole('alert').waitFor();
    await page.goto(`${this.url}/console/orders/${encodeURIComponent(MARKUP)}`);
    await page.getByRole('main').waitFor();
    const file = storyOf({ type: MARKUP, actor: MARKUP, reason: MARKUP, data: { [MARKUP]: MARKUP }, service: MARKUP });
    await openFile(page, this.url, file);
    await page.locator('.list button').click();
    await page.getByRole('heading', { name: MARKUP }).waitFor();
    expectSame(await page.locator('main img, main script').count(), 0, 'elements that a text has made');
    await page.context().close();
    return 'markup in an address, a name or a reason is shown as it is';
  }

  private async documents(): Promise<string> {
    const page = await this.open('/docs', 'operator');
    await page.getByText('Places an order').waitFor();
    await page.getByText('/payment/admin/projections', { exact: true }).first().waitFor();
    await page.context().close();
    return 'a session is enough to read the OpenAPI document';
  }

  private async tellsStory(): Promise<string> {
    const page = await this.open(this.settled, 'operator');
    await page.getByRole('button', { name: /order: OrderCompleted/ }).waitFor();
    const names = await page.locator('.lane-names strong').allTextContents();
    expectSame(names, ['order', 'bus', 'inventory', 'payment', 'provider'], 'lanes');
    expectSame(await page.locator('.asking text').allTextContents(), ['authorize', 'capture'], 'what was asked');
    await page.getByRole('button', { name: /payment: PaymentAuthorized/ }).click();
    await page.getByRole('heading', { name: 'PaymentAuthorized' }).waitFor();
    await page.goto(this.url + this.waiting);
    await page.getByRole('heading', { name: 'What comes' }).waitFor();
    await page.getByText('Call off').first().waitFor();
    const unanswered = {
      ...storyOf({ service: 'payment', type: 'PaymentRequested' }),
      exchanges: [{ what: 'authorize', asked: '0' }],
    };
    await openFile(page, this.url, unanswered);
    await page.locator('.asking.missing', { hasText: 'authorize: no answer yet' }).waitFor();
    await page.context().close();
    return `lanes for ${names.join(', ')}, what comes, and what each choice would do`;
  }

  private async takesKeys(): Promise<string> {
    const page = await this.open(this.settled, 'operator');
    await page.locator('.point').first().waitFor();
    await page.keyboard.press('Tab');
    await page.getByRole('link', { name: 'Skip to the page' }).press('Enter');
    await page.locator('#main:focus').waitFor();
    await page.locator('.point[tabindex="0"]').focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'OrderPlaced' }).waitFor();
    await page.keyboard.press('End');
    await page.getByRole('heading', { name: 'OrderCompleted' }).waitFor();
    await page.keyboard.press('Home');
    await page.getByRole('heading', { name: 'OrderPlaced' }).waitFor();
    await page.getByRole('slider').press('Home');
    await page
      .getByText(/^\d\d:\d\d:\d\d\.\d+/)
      .first()
      .waitFor();
    await page.locator('.slider').getByText('1 of').first().waitFor();
    await page.context().close();
    return 'facts and time by arrows, Home, End and Enter';
  }

  private async savesAndOpens(): Promise<string> {
    const page = await this.open(this.settled, 'operator');
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Save as a file' }).click(),
    ]);
    const content = readFileSync(await download.path(), 'utf8');
    const { facts } = JSON.parse(content) as Story;
    await openFile(page, this.url, content);
    await page.getByRole('heading', { name: 'All facts' }).waitFor();
    expectSame(await page.locator('.list tbody tr').count(), facts.length, 'facts of the file');
    await openFile(page, this.url, content.replace('"recordedAt"', '"noted"'));
    await page.getByRole('alert').getByText('facts[0].recordedAt').waitFor();
    await openFile(page, this.url, 'Dear diary');
    await page.getByRole('alert').getByText('The file is not JSON.').waitFor();
    await page.context().close();
    return `${facts.length} facts, and a broken file is refused in words`;
  }

  private async scrollsThousand(): Promise<string> {
    const page = await this.open('/console/story', 'operator');
    const [fact] = storyOf({}).facts;
    const startMs = Date.parse(fact!.recordedAt);
    const facts = Array.from({ length: 1_000 }, (_, i) => ({
      ...fact!,
      id: `${i}`,
      causationId: `${i - 1}`,
      service: ['order', 'inventory', 'payment'][i % 3]!,
      recordedAt: new Date(startMs + i * 10).toISOString(),
      shown: { summary: new Date(startMs + i * 10 + 25).toISOString() },
    }));
    await openFile(page, this.url, { ...storyOf({}), at: new Date(startMs + 20_000).toISOString(), facts });
    await page.locator('.point').first().focus();
    await page.keyboard.press('End');
    await page
      .getByRole('button', { name: /: OrderPlaced, .*09\.990/ })
      .first()
      .waitFor();
    const drawn = await page.locator('.point').count();
    if (drawn > 200) throw new Error(`${drawn} facts are drawn, although few of them are seen.`);
    await page.context().close();
    return `a thousand facts, of which ${drawn} are drawn`;
  }

  private async runsWorlds(): Promise<string> {
    const page = await this.open('/console/worlds', 'customer');
    await page.getByLabel('Seed').fill('1');
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.getByText('Every rule held').waitFor();
    const told = await simulate('--seed', '1', '--quiet');
    const trace = await page.locator('.lines code').textContent();
    if (!told.includes(`Trace ${trace},`)) throw new Error(`World 1 has the trace ${trace} here, and there: ${told}`);
    expectSame(await page.locator('.rule[data-broken="true"]').count(), 0, 'rules that a world without a bug breaks');

    await page.getByLabel('Seed').fill('3');
    await page.getByLabel('Bug').selectOption('a store lets a cancellation and the pivot both win');
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.getByText('Breaks order-ends-twice').waitFor();
    await page.locator('.rule[data-broken="true"]').getByText('an order has two ends').waitFor();
    expectSame(page.url(), `${this.url}/console/worlds/3?mutant=both-win`, 'the address of a world with a bug');
    await page.locator('.point').first().waitFor();
    await page.getByRole('button', { name: 'Run until a rule breaks' }).click();
    await page.waitForURL(({ pathname, search }) => !pathname.endsWith('/3') && search === '?mutant=both-win');
    await page.getByText('Breaks').first().waitFor();
    const link = page.url();

    await page.goto(`${this.url}/console/worlds/1`);
    await page.getByRole('button', { name: 'Run until a rule breaks' }).click();
    await page.getByRole('button', { name: /^Stop after [1-9]/ }).click();
    await page.getByRole('button', { name: 'Run until a rule breaks' }).waitFor();
    await page.goto(link);
    await page.getByText('Breaks').first().waitFor();
    for (const wrong of ['seven', '1?only=x', '1?mutant=none']) {
      await page.goto(`${this.url}/console/worlds/${wrong}`);
      await page.getByRole('alert').waitFor();
    }
    await page.context().close();
    return `world 1 has the trace ${trace} here as there, and with a bug a rule is broken: ${link}`;
  }

  private async opensSimulated(): Promise<string> {
    const folder = mkdtempSync(join(tmpdir(), 'larder-stories-'));
    await simulate('--seed', '2', '--quiet', '--stories', folder);
    const files = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'));
    rmSync(folder, { recursive: true });
    const troubled = files.find((content) => (JSON.parse(content) as Story).troubles!.length > 0)!;
    const { facts, troubles } = JSON.parse(troubled) as Story;
    const page = await this.open('/console/story', 'operator');
    await openFile(page, this.url, troubled);
    await page.getByRole('heading', { name: 'What went wrong meanwhile' }).waitFor();
    expectSame(await page.locator('.list tbody tr').count(), facts.length, 'facts of the file');
    expectSame(await page.locator('.tried li').count(), troubles!.length, 'troubles of the file');
    await page.locator('.strike').first().waitFor({ state: 'attached' });
    await page.context().close();
    return `${facts.length} facts and ${troubles!.length} troubles of an order of world 2`;
  }

  private async listsOrders(): Promise<string> {
    const page = await this.open('/console/orders', 'customer');
    await page.locator(`a[href="${this.settled}"]`).waitFor();
    await page.getByLabel('Status').selectOption('confirmed');
    await page.locator(`a[href="${this.waiting}"]`).waitFor();
    await page.locator(`a[href="${this.settled}"]`).waitFor({ state: 'detached' });
    await page.getByLabel('Status').selectOption('cancelled');
    await page.getByText('No order is like this.').waitFor();
    await page.goBack();
    await page.locator(`a[href="${this.waiting}"]`).click();
    await page.getByRole('heading', { name: 'Order' }).first().waitFor();
    await page.context().close();
    return 'filters stand in the address, an empty list says why';
  }

  private async saysWhatFails(): Promise<string> {
    const page = await this.open('/console/orders/00000000-0000-4000-8000-000000000000', 'customer');
    await page.getByRole('alert').getByText('Correlation id').waitFor();
    await page.route('**/orders?*', (route) => route.abort());
    await page.goto(`${this.url}/console/orders`);
    await page.getByRole('alert').getByText('The gateway cannot be reached.').waitFor();
    await page.unroute('**/orders?*');
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.locator('.orders').waitFor();
    const { status } = await fetch(`${this.url}/console/nowhere`);
    expectSame(status, 404, 'the answer at an unknown address');
    await page.context().close();
    return 'in words, with the correlation id, and can be tried again';
  }

  private async isAccessible(look: Look): Promise<string> {
    const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
    for (const [name, open] of this.pages()) {
      const page = await open(look);
      // By the protocol, and not as an element: the page's own policy allows no script but its own.
      await page.evaluate(axe);
      const found = await page.evaluate<{
        violations: { id: string; nodes: { target: unknown; failureSummary?: string }[] }[];
      }>('axe.run()');
      const [first] = found.violations;
      if (first) throw new Error(`axe on ${name}: ${first.id}, ${JSON.stringify(first.nodes[0])}`);
      const overflow = await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth');
      if (overflow > 0) throw new Error(`${name} is ${overflow} px wider than the window.`);
      await page.context().close();
    }
    return `${this.pages().length} pages, nothing found, none wider than the window`;
  }

  /** Every page, with something on it. */
  private pages(): readonly (readonly [name: string, open: (look: Look) => Promise<Page>])[] {
    const page = (name: string, path: string, account: AccountName | undefined, seen: string) =>
      [
        name,
        async (look: Look) => {
          const opened = await this.open(path, account, look);
          await opened.locator(seen).first().waitFor();
          return opened;
        },
      ] as const;
    return [
      page('login', '/', undefined, 'main .button'),
      page('shop', '/', 'customer', '.shelf'),
      page('orders', '/console/orders', 'customer', '.orders a'),
      page('story', this.settled, 'operator', '.point'),
      page('waiting', this.waiting, 'operator', '.awaits'),
      page('inbox', '/console/inbox', 'operator', '.case'),
      page('dead-letters', '/console/dead-letters', 'operator', '.case'),
      page('read-models', '/console/read-models', 'operator', '.replay'),
      page('flow', '/console/flow', 'operator', '.plot canvas'),
      page('trouble', '/console/trouble', 'operator', '.balance strong'),
      page('worlds', '/console/worlds', 'customer', '.examples'),
      page('world', '/console/worlds/3?mutant=both-win', 'customer', '.point'),
      page('file', '/console/story', 'operator', '.file'),
    ];
  }

  private async decides(): Promise<string> {
    const page = await this.open('/console/inbox', 'operator');
    const reason = `The card was cancelled. ${MARKUP}`;
    await page.getByLabel('Call off').check();
    await page.getByLabel('Reason').fill(reason);
    await page.getByRole('button', { name: 'Decide' }).click();
    await page.getByText('Call off: decided').waitFor();
    await page.getByText('Nothing waits for a decision.').waitFor();
    const past = page.locator('tr', { has: page.locator(`a[href="${this.waiting}"]`) });
    await past.getByText('The order was cancelled (operator)').waitFor();
    await past.getByText('Call off').waitFor();
    await past.getByText(reason).waitFor();
    await page.goto(this.url + this.waiting);
    await page.locator('.story-head [data-status="cancelled"]').waitFor();
    await page.locator('.list').getByRole('button', { name: 'OrderCancelled' }).click();
    await page.locator('.fact').getByText(reason).waitFor();
    await page.context().close();
    return 'called off with a reason, which its story and the inbox tell, and what became of it';
  }

  private async decidesAboutLetters(): Promise<string> {
    const page = await this.open('/console/dead-letters', 'operator');
    await page.getByText('No message waits for a person').waitFor();
    await this.poison(3);
    const inventory = page.locator('.case', { hasText: 'inventory could not handle' });
    const payment = page.locator('.case', { hasText: 'payment could not handle' });
    for (const each of [inventory, payment]) await each.getByRole('heading', { name: '3 × OrderPlaced' }).waitFor();
    await inventory.getByText('Look at them').click();
    await inventory.getByText('Its error and message').first().click();
    await inventory.locator('.letters pre', { hasText: 'a message of' }).first().waitFor();
    const reason = `Perhaps it was the weather. ${MARKUP}`;
    await inventory.getByRole('checkbox').first().check();
    await inventory.getByLabel('Reason').fill(reason);
    await inventory.getByRole('button', { name: 'Retry 1 of 3' }).click();
    await page.getByText('1 letter is tried again.').waitFor();
    await page.locator('tr', { hasText: 'dead again' }).getByText(reason).waitFor();
    await inventory.getByRole('heading', { name: '3 × OrderPlaced' }).waitFor();
    await inventory.getByLabel('Reason').fill('No order has a text for its lines.');
    await inventory.getByRole('button', { name: 'Skip all 3' }).click();
    await page.getByText('3 letters are given up.').waitFor();
    await inventory.waitFor({ state: 'detached' });
    expectSame(await page.locator('tr', { hasText: 'skipped' }).count(), 3, 'decisions that are shown');
    await page.route('**/payment/admin/dead-letters/*', answerUnavailable);
    await page.getByText('Without payment: No instance of payment can be reached.').waitFor();
    await page.locator('tr', { hasText: 'skipped' }).first().waitFor();
    await page.context().close();
    return 'one retried, three skipped with one reason, and what became of each';
  }

  private async rebuilds(): Promise<string> {
    const page = await this.open('/console/read-models', 'operator');
    const prices = page.getByRole('article', { name: 'price-list' });
    await prices.getByText('current').waitFor();
    await prices.locator('summary').click();
    await prices.getByText('There is no table to roll back to').waitFor();
    let asked = 0;
    const ask = async (action: string, result: string | RegExp, reason = `test ${++asked} ${MARKUP}`) => {
      await prices.getByLabel('Reason').fill(reason);
      await prices.getByRole('button', { name: action }).click();
      await prices.locator('.replay', { hasText: reason }).getByText(result).waitFor();
    };
    await this.damagePrices();
    await ask('Compare', /is done: \d+ rows from \d+ events; 1 row other than in the table in use/);
    await prices.locator('.differences li', { hasText: 'amount_minor 1 ' }).waitFor();
    await ask('Rebuild', '1 row other than in the previous table');
    await ask('Roll back', 'is done: the table before is in use');
    await ask('Roll back', 'is done: the table before is in use');
    await ask('Compare', '0 rows other than in the table in use');
    await page.locator('tr', { hasText: 'rollback' }).first().getByText(MARKUP).waitFor();
    await page.route('**/payment/admin/projections', answerUnavailable);
    await page.getByText('Without payment: No instance of payment can be reached.').waitFor();
    await prices.waitFor();
    // So that every picture has a difference.
    await this.damagePrices();
    await ask('Compare', '1 row other than in the table in use', 'A customer saw another price in the shop.');
    await page.context().close();
    return 'compared, rebuilt, rolled back and forward again, with what differed';
  }

  /** Figures are those of the moment, and a service that is away is a gap. */
  private async flows(): Promise<string> {
    const [page, shop] = [await this.open('/console/flow', 'operator'), await this.open('/', 'customer')];
    const placed = page.getByRole('table', { name: 'Orders per second' }).getByRole('row', { name: 'placed' });
    const relays = page.getByRole('table', { name: 'Lag of the relays' });
    const valueOf = async () => Number(await placed.locator('td').first().textContent());
    await placed.getByText(/^0$/).first().waitFor(); // Nobody has ordered for ten seconds.
    await place(shop, 'Olive oil', 'tok_approved');
    for (const sinceMs = performance.now(); !((await valueOf()) > 0); await sleep(50)) {
      if (performance.now() - sinceMs > PATIENCE_MS) throw new Error('No order is counted.');
    }
    await page.getByRole('row', { name: 'cashier' }).getByText(/:\d+$/).waitFor();
    await page.route('**/flow', async (route) => {
      const response = await route.fetch();
      const flow = (await response.json()) as Flow;
      const services = flow.services.filter(({ service }) => service !== 'payment');
      await route.fulfill({ response, json: { ...flow, services, missing: ['payment'], complete: false } });
    });
    await page.getByText('Without payment: no instance answers.').waitFor();
    await relays.getByRole('row', { name: 'payment' }).getByText('not known').waitFor();
    expectSame(await relays.getByText('not known').count(), 1, 'relays of which nothing is known');
    await page.unroute('**/flow');
    await relays.getByText('not known').waitFor({ state: 'detached' });
    for (const each of [page, shop]) await each.context().close();
    return 'an order is counted at once, leases have holders, and a service that is away is not known';
  }

  /** Two troubles, an order that meets each, and the balance all the while. */
  private async breaksAndHeals(): Promise<string> {
    const page = await this.open('/console/trouble', 'operator');
    await page.getByText('Nothing lost:').waitFor();
    const meet = async (service: string, trouble: string) => {
      const card = page.getByRole('article', { name: trouble });
      const button = card.getByRole('button', { name: `${trouble} in ${service}` });
      await button.click();
      await card.getByText(/: on for \d+ s more, has met nothing yet\./).waitFor();
      const order = await this.open('/', 'customer');
      await place(order, 'Honey', 'tok_approved');
      return { card, button, order };
    };
    const ended = async (order: Page) => {
      await order.locator('.story-head [data-status="completed"]').waitFor();
      await order.context().close();
    };
    const silence = await meet('payment', 'Silence provider');
    await silence.card.getByText(/has struck/).waitFor();
    expectSame(await silence.order.locator('.story-head [data-status="completed"]').count(), 0, 'orders that are paid');
    await silence.button.click();
    await silence.card.getByText(/Payment: over, has struck/).waitFor();
    await ended(silence.order);
    const end = await meet('inventory', 'End after append');
    await ended(end.order);
    await page.getByRole('button', { name: 'End after append in inventory', pressed: false }).waitFor();
    await page.getByText(/^Nothing lost: \d+ orders, and all books agree\.$/).waitFor();
    expectSame(await page.locator('.balance li').count(), 0, 'disagreements');
    await page.context().close();
    return 'a silent provider and a killed service, an order that met each and ended, and nothing lost';
  }

  /** As nobody should: a price in the read model is another than the events give. */
  private async damagePrices(): Promise<void> {
    const pool = postgresPool((await serverIn(join(this.shop.folder, 'postgres')))!.url('order'));
    await pool.query(`UPDATE price_list SET amount_minor = 1 WHERE sku = 'olive-oil'`);
    await pool.end();
  }

  /** Writes to the orders' topic what its readers cannot handle. */
  private async poison(count: number): Promise<void> {
    const url = (await serverIn(join(this.shop.folder, 'postgres')))!.url('bus');
    const bus = await PostgresMessageBus.open({ url, clock: new SystemClock() });
    const envelope = { source: '/elsewhere', time: new Date().toISOString(), correlationId: 'a test' };
    const messages = Array.from({ length: count }, () => {
      const key = randomUUID();
      return {
        ...envelope,
        id: randomUUID(),
        key,
        type: 'OrderPlaced',
        data: { orderId: key, lines: 'a message of many' },
      };
    });
    await bus.publish(orderEvents.name, messages);
    await bus.close();
  }

  private async logsOut(): Promise<string> {
    const page = await this.open('/', 'customer');
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByRole('main').getByRole('link', { name: 'Log in' }).waitFor();
    await page.context().close();
    return 'the page leads to the login again';
  }

  /** Of the pages as they were before the inbox was emptied, which is why they are made with a new order. */
  async takePictures(): Promise<void> {
    const order = await this.open('/', 'customer');
    await place(order, 'Honey', 'tok_capture_refused');
    await order.locator('.story-head [data-status="confirmed"]').waitFor();
    this.waiting = new URL(order.url()).pathname;
    await order.context().close();
    mkdirSync(PICTURES, { recursive: true });
    for (const scheme of SCHEMES)
      for (const size of [WIDE, NARROW])
        for (const [name, open] of this.pages()) {
          const page = await open({ scheme, size });
          await page.waitForLoadState('networkidle', { timeout: 2_000 }).catch(() => {});
          await page.screenshot({ path: resolve(PICTURES, `${name}-${scheme}-${size.width}.png`) });
          await page.context().close();
        }
  }
}

/** What `npm run simulate` prints. */
async function simulate(...flags: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, ['scripts/run.mjs', 'simulate', ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (text) => (output += text));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`npm run simulate -- ${flags.join(' ')} ended with ${code}. ${output}`);
  return output;
}

async function place(page: Page, goods: string, token: string): Promise<void> {
  await page.getByRole('spinbutton', { name: goods }).fill('2');
  await page.getByLabel('Payment').selectOption(token);
  await page.getByRole('button', { name: 'Place the order' }).click();
  await page.waitForURL('**/console/orders/*');
}

/** What the gateway answers for a service that is away. */
async function answerUnavailable(route: Route): Promise<void> {
  const detail = 'No instance of payment can be reached. Try again.';
  await route.fulfill({ status: 503, json: { title: 'Unavailable', status: 503, code: 'unavailable', detail } });
}

async function openFile(page: Page, url: string, content: string | object): Promise<void> {
  if (new URL(page.url()).pathname !== '/console/story') await page.goto(`${url}/console/story`);
  const text = typeof content === 'string' ? content : JSON.stringify(content);
  await page
    .locator('input[type=file]')
    .setInputFiles({ name: 'order.story.json', mimeType: 'application/json', buffer: Buffer.from(text) });
}

/** A story of one fact. */
function storyOf(fact: Partial<StoryFact>): Story {
  const recordedAt = '2026-11-21T12:00:00.000Z';
  const plain = {
    id: '0',
    service: 'order',
    stream: 'order-1',
    revision: 0,
    position: '1',
    type: 'OrderPlaced',
    data: {},
  };
  const cause = { recordedAt, correlationId: '0', causationId: '0', shown: {} };
  return { orderId: '1', at: recordedAt, complete: true, missing: [], facts: [{ ...plain, ...cause, ...fact }] };
}

function expectSame(found: unknown, expected: unknown, what: string): void {
  if (JSON.stringify(found) === JSON.stringify(expected)) return;
  throw new Error(`${what}: ${JSON.stringify(found)}, and not ${JSON.stringify(expected)}`);
}
