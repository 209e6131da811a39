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
import type { Browser, Page } from 'playwright-core';
import { perService } from '../apps/shop.js';
import { startChromium } from '../scripts/lib/chromium.js';
import { readCommandLine } from '../scripts/lib/command-line.js';
import { green, red, Screen } from '../scripts/lib/screen.js';
import { type Absence, absencesOf } from './away/absences.js';
import { Door } from './away/door.js';
import { type ConsolePage, openPage, pagesOf, untilItSays, untilWhole } from './away/pages.js';
import { listenUntil, lookAt, routesOf, type Seen } from './away/routes.js';
import type { Databases, Shop } from './shop/open-shop.js';
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
  return onTrial({ bus: 'postgres', by }, async ({ shop }) => {
    const absences = absencesOf(shop, doors!, behind!).filter(({ name }) => name.includes(only));
    const gateway = await shop.addGateway();
    await shop.setPrices({ honey: 895 });
    await shop.stockUp({ honey: 1_000 });
    const rows = new Map<string, Map<string, string>>();
    let [passed, failed] = [0, 0];
    for (const absence of absences) {
      await screen.step(absence.name, async (done) => {
        const { seen, faults } = await lookDuring(absence, { shop, gateway, browser });
        rows.set(absence.name, seen);
        for (const fault of faults) screen.print(red(`  ${fault}`));
        [passed, failed] = [passed + seen.size - faults.length, failed + faults.length];
        done(absence.name, `${seen.size} routes and pages, ${faults.length} faults`);
      });
    }
    screen.end();
    mkdirSync('.cache', { recursive: true });
    writeFileSync(RESULTS, JSON.stringify({ passed, failed }));
    if (docs) writeDocument(rows);
    return failed;
  }).finally(() => {
    // A door that is open keeps this process from ending.
    for (const door of Object.values(doors ?? {})) door.close();
  });
}

interface Looked {
  readonly shop: Shop;
  readonly gateway: string;
  readonly browser: Browser;
}

async function lookDuring(absence: Absence, { shop, gateway, browser }: Looked) {
  const operator = shop.as('operator', 'operator');
  const orderId = await shop.place({ lines: [{ sku: 'honey', quantity: 1 }], token: 'tok_slow' });
  const pages = pagesOf(orderId);
  const open = (page: ConsolePage) => openPage(browser, gateway + page.path, operator);
  const before = await Promise.all(pages.map(open));
  const faults: string[] = [];
  const seen = new Map<string, string>();
  const note = (what: string, { words, faults: more }: Seen) => {
    seen.set(what, words);
    faults.push(...more);
  };
  for (const [i, page] of pages.entries()) faults.push(...(await untilWhole(before[i]!, page)));

  await absence.begin();
  let during: Page[] = [];
  try {
    const stream = listenUntil(gateway, operator, absence);
    const routes = routesOf(orderId);
    const answers = await Promise.all(routes.map((route) => lookAt(gateway, route, shop.anybody, absence)));
    for (const [i, { path }] of routes.entries()) note(path.replace(orderId, '{id}'), answers[i]!);
    note('/stream', await stream);
    during = await Promise.all(pages.map(open));
    const shown = await Promise.all(pages.map((page, i) => untilItSays(during[i]!, page, absence)));
    for (const [i, { title }] of pages.entries()) note(title, shown[i]!);
  } finally {
    await absence.end();
  }
  await shop.settled(orderId);
  for (const opened of [before, during])
    await Promise.all(pages.map(async (page, i) => faults.push(...(await untilWhole(opened[i]!, page)))));
  await Promise.all([...before, ...during].map((page) => page.context().close()));
  return { seen, faults };
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
        .map(({ what }) => (isRoute ? `\`${what}\`` : what));
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
