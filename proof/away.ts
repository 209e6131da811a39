/**
 * `npm run away`: each service, Postgres, the bus, the payment provider and the OpenID provider are away in turn, by
 * refusing connections and by silence. Meanwhile every route of the gateway and every page of the console is looked at:
 * each answers in time with what is left and names what is missing, and is whole again by itself afterwards.
 *
 *   an order is placed ─▶ its page is open ─▶ away ─▶ routes, pages that are open, pages opened now ─▶ back ─▶ all whole
 *
 * With --docs, what was seen becomes the table of docs/away.md.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { Browser } from 'playwright-core';
import { SystemClock } from '#runtime';
import { perService } from '../apps/shop.js';
import { call, type Headers } from '../scripts/lib/api.js';
import { BOOKS_ANSWER_MS, watchBalance } from '../scripts/lib/balance.js';
import { startChromium } from '../scripts/lib/chromium.js';
import { readCommandLine } from '../scripts/lib/command-line.js';
import { openBooks } from '../scripts/lib/reconcile/open-books.js';
import { green, red, Screen } from '../scripts/lib/screen.js';
import { type Absence, absencesOf, gatewayAbsencesOf } from './away/absences.js';
import { Door } from './away/door.js';
import { OpenPages, untilItSays, untilItSaysSo } from './away/pages.js';
import { listenUntil, lookAt, routesOf, type Seen } from './away/routes.js';
import { ADA, type Databases, type Shop } from './shop/open-shop.js';
import { onTrial } from './shop/trial.js';

const DOCUMENT = 'docs/away.md';
const RESULTS = '.cache/test-away.json';
/** What follows it is written anew. */
const MARK = '<!-- `npm run away -- --docs` writes the table below -->';

const SYNTAX = {
  usage: 'npm run away [-- --only <a part, such as order>] [--docs].',
  options: { only: { type: 'string' }, docs: { type: 'boolean' } },
} as const;
export const { usage } = SYNTAX;

export async function main(argv: readonly string[]): Promise<void> {
  const flags = readCommandLine(argv, SYNTAX, process, ({ values }) => values);
  if (!flags) process.exit(2);
  const browser = await startChromium();
  if (!browser) {
    console.error('away cannot run: there is no Chromium. Install it (Debian: chromium).');
    process.exit(2);
  }
  const faults = await lookInTurn(browser, flags).finally(() => browser.close());
  console.log(faults === 0 ? green('Whatever was away, the rest was there.') : red(`${faults} faults: see above.`));
  process.exitCode = faults === 0 ? 0 : 1;
}

interface Flags {
  readonly only?: string | undefined;
  readonly docs?: boolean | undefined;
}

/** Returns the number of faults. */
async function lookInTurn(browser: Browser, { only = '', docs = false }: Flags): Promise<number> {
  let doors: { databases: Door; bus: Door } | undefined;
  let behind: Databases | undefined;
  const by = async (databases: Databases): Promise<Databases> => {
    behind = databases;
    doors = { databases: new Door(databases.order), bus: new Door(databases.bus) };
    await Promise.all([doors.databases.open(), doors.bus.open()]);
    const { databases: own, bus } = doors;
    return {
      ...perService((service) => own.through(databases[service])),
      customer_keys: own.through(databases.customer_keys),
      bus: bus.through(databases.bus),
    };
  };
  const screen = new Screen();
  // As in `npm start`, where operators have all pages.
  const TROUBLE = { TROUBLE: 'true' };
  const over = new AbortController();
  return onTrial({ bus: 'postgres', by, env: perService(() => TROUBLE) }, async ({ shop }) => {
    const gateway = await shop.addGateway(TROUBLE);
    void tellBalance(shop, over.signal);
    await shop.setPrices({ honey: 895 });
    await shop.stockUp({ honey: 1_000 });
    const callers = { operator: shop.as('operator', 'operator'), customer: shop.as(ADA, 'customer') };
    const looked = { shop, gateway, callers, pages: new OpenPages(browser, gateway, callers) };
    const steps = [
      ...absencesOf(shop, doors!, behind!).map((absence) => {
        return { name: absence.name, look: () => lookDuring(absence, looked) };
      }),
      ...gatewayAbsencesOf(shop).map((absence) => {
        return { name: absence.name, look: () => lookWithoutGateway(absence, looked) };
      }),
    ].filter(({ name }) => name.includes(only));
    const rows = new Map<string, Map<string, string>>();
    let [passed, failed] = [0, 0];
    for (const { name, look } of steps) {
      await screen.step(name, async (done) => {
        const { seen, faults } = await look();
        rows.set(name, seen);
        for (const fault of faults) screen.print(red(`  ${fault}`));
        [passed, failed] = [passed + seen.size - faults.length, failed + faults.length];
        done(name, `${seen.size} routes and pages, ${faults.length} faults`);
      });
    }
    screen.end();
    mkdirSync('.cache', { recursive: true });
    writeFileSync(RESULTS, JSON.stringify({ passed, failed }));
    if (docs) writeDocument(rows);
    return failed;
  }).finally(() => {
    over.abort();
    // A door that is open keeps this process from ending.
    for (const door of Object.values(doors ?? {})) door.close();
  });
}

/** As `npm start` does, by the same way to the databases as the services. */
function tellBalance(shop: Shop, signal: AbortSignal): Promise<void> {
  const clock = new SystemClock();
  const databases = perService((service) => {
    return { databaseUrl: shop.databases[service], storeUrl: shop.databases[service] };
  });
  const open = () => openBooks(databases, clock, { answerMs: BOOKS_ANSWER_MS });
  return watchBalance({ open, tell: (balance) => shop.tellGateways({ balance }), clock, signal });
}

interface Looked {
  readonly shop: Shop;
  readonly gateway: string;
  readonly callers: Readonly<Record<'operator' | 'customer', Headers>>;
  readonly pages: OpenPages;
}

/** Places an order of Ada's, at whose provider it takes a while, and has its story among the pages. */
async function orderAndLook({ shop, pages }: Looked) {
  const lines = [{ sku: 'honey', quantity: 1 }];
  const orderId = await shop.place({ lines, token: 'tok_slow', customerId: ADA });
  await pages.turnTo(orderId);
  return { orderId, faults: [...(await pages.untilWhole())] };
}

async function lookDuring(absence: Absence, looked: Looked) {
  const { shop, gateway, callers, pages } = looked;
  const { orderId, faults } = await orderAndLook(looked);
  const seen = new Map<string, string>();
  const note = (what: string, { words, faults: more }: Seen) => {
    seen.set(what, words);
    faults.push(...more);
  };

  await absence.begin();
  try {
    const stream = listenUntil(gateway, callers.operator, absence);
    const routes = routesOf(orderId);
    const answers = await Promise.all(
      routes.map((route) => lookAt(gateway, route, route.as ? callers[route.as] : shop.anybody, absence)),
    );
    for (const [i, { path, as }] of routes.entries()) {
      note(`${path.replace(orderId, '{id}')}${as ? ` as a ${as}` : ''}`, answers[i]!);
    }
    note('/stream', await stream);
    for (const [title, page] of await pages.openMore((page, shown) => untilItSays(page, shown, absence)))
      note(title, page);
  } finally {
    await absence.end();
  }
  await shop.settled(orderId);
  faults.push(...(await pages.untilWhole()));
  return { seen, faults };
}

/** Meanwhile a customer presses the button for an order, and once more afterwards: it is placed once. */
async function lookWithoutGateway(absence: Pick<Absence, 'begin' | 'end'>, looked: Looked) {
  const { shop, gateway, callers, pages } = looked;
  const { faults } = await orderAndLook(looked);
  // Not through the gateway, which may answer with what somebody else was told a moment ago.
  const list = `${shop.order[0]}/orders?limit=100`;
  const ordersOf = async () => (await call<{ items: object[] }>('GET', list, undefined, callers.customer)).items.length;
  const placed = await ordersOf();
  const counter = pages.named("a customer's Shop");
  const press = () => counter.getByRole('button', { name: 'Place the order' }).click();
  await counter.getByRole('spinbutton', { name: 'Honey' }).fill('2');

  await absence.begin();
  let seen: ReadonlyMap<string, Seen>;
  try {
    seen = await pages.lookAtEach(untilItSaysSo);
    await press();
    await counter.getByText('You can ask for it again: it counts once.').waitFor();
  } finally {
    await absence.end();
  }
  faults.push(...[...seen.values()].flatMap((each) => each.faults));
  await counter.locator('.silence').waitFor({ state: 'detached' });
  await press();
  await counter.waitForURL(/\/console\/orders\/.+/);
  await shop.settled(counter.url().split('/').at(-1)!);
  const more = (await ordersOf()) - placed;
  if (more !== 1) faults.push(`${more} orders were placed, and not one.`);
  await counter.goto(gateway);
  faults.push(...(await pages.untilWhole()));
  return { seen: new Map([...seen].map(([title, { words }]) => [title, words])), faults };
}

/** A row for each absence, of what was not whole. Refusing and silent are one row where they look the same. */
function writeDocument(rows: ReadonlyMap<string, ReadonlyMap<string, string>>): void {
  const [head] = readFileSync(DOCUMENT, 'utf8').split(MARK);
  const lines = new Map<string, string[]>();
  for (const [absence, seen] of rows) {
    const all = [...seen].map(([what, words]) => ({ what, words, isRoute: what.startsWith('/') }));
    const those = (isRoute: boolean, words: RegExp) =>
      all
        .filter((each) => each.isRoute === isRoute && words.test(each.words))
        .map(({ what }) => (isRoute ? what.replace(/^\S+/, '`$&`') : what));
    const cells = [
      those(true, /^503$/),
      those(true, /^(without|names)/),
      those(false, /^why not$/),
      those(false, /^without/),
    ];
    const row = cells.map((each) => each.join(', ') || '–').join(' | ');
    lines.set(row, [...(lines.get(row) ?? []), absence]);
  }
  const table = [
    '| away | 503 | without it, and named | pages that say why they show nothing | pages that show the rest |',
    '|---|---|---|---|---|',
    ...[...lines].map(([row, absences]) => `| ${absences.join(', ')} | ${row} |`),
  ];
  writeFileSync(DOCUMENT, `${head}${MARK}\n\n${table.join('\n')}\n`);
}
