/** What the pages of the console show while something is away. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, Page } from 'playwright-core';
import { type Service, services } from '../../apps/shop.js';
import type { Headers } from '../../scripts/lib/api.js';
import type { Absence, Server } from './absences.js';
import type { Seen } from './routes.js';

/** How soon a browser has an answer to show, on a busy machine, too. */
const OPEN_WITHIN_MS = 60_000;
/** How soon a page says what is missing, on a busy machine, too. */
const SAID_WITHIN_MS = 20_000;
/** How soon a page is whole again. */
const HEALED_WITHIN_MS = 30_000;
const LOOK_EVERY_MS = 100;

interface ConsolePage {
  readonly title: string;
  readonly path: string;
  readonly as: 'operator' | 'customer';
  /** The services that it shows. */
  readonly of: readonly Service[];
  /** Whether one that is open stays as it is: it shows nothing that moves, or an order that is settled. */
  readonly isStill?: boolean;
  /** Whether the services need no server for it, but for what it says then. */
  readonly isOfCode?: boolean;
  /** What it says of what it cannot know without a server: when it meets that, if it is not sure that it does. */
  readonly doubts?: readonly { readonly without: Server; readonly words: RegExp; readonly isSure: boolean }[];
  /** What is there when it shows all. */
  readonly content: string;
}

const NOT_COMPARED = /^They cannot be compared now: /;
const NOT_KNOWN = /^Not known now: .+ of order; .+ of inventory; .+ of payment\. /;

const pagesOf = (orderId: string): readonly ConsolePage[] => [
  ...of('operator', [
    { title: 'Shop', path: '/', of: ['order', 'inventory'], isStill: true, content: '.shelf' },
    { title: 'Orders', path: '/console/orders', of: ['order'], content: '.orders a' },
    { title: 'Story', path: `/console/orders/${orderId}`, of: services, isStill: true, content: '.point' },
    { title: 'Inbox', path: '/console/inbox', of: services, content: '.empty' },
    { title: 'Dead letters', path: '/console/dead-letters', of: services, content: '.empty' },
    { title: 'Read models', path: '/console/read-models', of: services, content: '[aria-labelledby="of-payment"]' },
    {
      title: 'Flow',
      path: '/console/flow',
      of: services,
      isOfCode: true,
      content: '.plots',
      doubts: [
        { without: 'Postgres', words: NOT_KNOWN, isSure: true },
        { without: 'the bus', words: NOT_KNOWN, isSure: true },
      ],
    },
    {
      title: 'Trouble',
      path: '/console/trouble',
      of: services,
      isOfCode: true,
      content: '.troubles',
      doubts: [
        { without: 'Postgres', words: NOT_COMPARED, isSure: true },
        // Only where an order has moved meanwhile the provider's ledger is read again.
        { without: 'the payment provider', words: NOT_COMPARED, isSure: false },
      ],
    },
    { title: 'Worlds', path: '/console/worlds', of: [], isStill: true, content: '.examples' },
  ]),
  ...of('customer', [
    { title: "a customer's Shop", path: '/', of: ['order'], isStill: true, content: '.shelf input' },
    { title: "a customer's Orders", path: '/console/orders', of: ['order'], content: '.orders a' },
    {
      title: "a customer's Story",
      path: `/console/orders/${orderId}`,
      of: ['order'],
      isStill: true,
      content: '.point',
    },
  ]),
];

function of(as: ConsolePage['as'], pages: readonly Omit<ConsolePage, 'as'>[]): ConsolePage[] {
  return pages.map((page) => ({ ...page, as }));
}

const STILL: Seen = { words: 'as before', faults: [] };

/** All pages, each in a browser of its own. Those that are opened while something is away are there before the next is. */
export class OpenPages {
  private shown: readonly ConsolePage[] = [];
  private before: readonly Page[] = [];
  private more: readonly Page[] = [];

  constructor(
    private readonly browser: Browser,
    private readonly gateway: string,
    private readonly callers: Readonly<Record<ConsolePage['as'], Headers>>,
  ) {}

  /** From now on the story is this order's. */
  async turnTo(orderId: string): Promise<void> {
    const shown = pagesOf(orderId);
    const others = this.before.flatMap((page, i) => (shown[i]!.path === this.shown[i]!.path ? [] : [{ page, i }]));
    this.shown = shown;
    await Promise.all(others.map(({ page, i }) => goTo(page, this.gateway + shown[i]!.path)));
    if (this.before.length === 0) this.before = await this.open();
  }

  named(title: string): Page {
    return this.before[this.shown.findIndex((each) => each.title === title)]!;
  }

  /** Looks at those that were open before. */
  lookAtEach(look: (page: Page, shown: ConsolePage) => Promise<Seen>): Promise<ReadonlyMap<string, Seen>> {
    return this.lookAt(this.before, look);
  }

  /** Opens all once more, and looks at these, and at what moves on those that were open before. */
  async openMore(look: (page: Page, shown: ConsolePage) => Promise<Seen>): Promise<ReadonlyMap<string, Seen>> {
    this.more = await this.open();
    const [seen, moving] = await Promise.all([
      this.lookAt(this.more, look),
      this.lookAt(this.before, async (page, shown) => (shown.isStill ? STILL : look(page, shown))),
    ]);
    const faultsOf = (title: string) => moving.get(title)!.faults.map((fault) => `Open before, ${fault}`);
    return new Map(
      [...seen].map(([title, { words, faults }]) => [title, { words, faults: [...faults, ...faultsOf(title)] }]),
    );
  }

  /** Waits until whatever is open is whole, and then keeps what was opened last. */
  async untilWhole(): Promise<readonly string[]> {
    const all = [...this.before, ...this.more];
    const faults = await Promise.all(all.map((page, i) => untilWhole(page, this.shown[i % this.shown.length]!)));
    if (this.more.length > 0) {
      await Promise.all(this.before.map((page) => page.context().close()));
      [this.before, this.more] = [this.more, []];
    }
    return faults.flat();
  }

  private open(): Promise<Page[]> {
    return Promise.all(
      this.shown.map(async ({ path, as }) => {
        const context = await this.browser.newContext({ extraHTTPHeaders: { ...this.callers[as] } });
        const page = await context.newPage();
        await goTo(page, this.gateway + path);
        return page;
      }),
    );
  }

  private async lookAt(
    pages: readonly Page[],
    look: (page: Page, shown: ConsolePage) => Promise<Seen>,
  ): Promise<ReadonlyMap<string, Seen>> {
    const seen = this.shown.map(async (shown, i) => [shown.title, await look(pages[i]!, shown)] as const);
    return new Map(await Promise.all(seen));
  }
}

async function goTo(page: Page, url: string): Promise<void> {
  await page.goto(url, { waitUntil: 'commit', timeout: OPEN_WITHIN_MS });
}

/** Waits until the page says what is missing, and nothing else, and shows the rest. */
export async function untilItSays(page: Page, shown: ConsolePage, absence: Absence): Promise<Seen> {
  const { lost, listens, server } = absence;
  const missing = shown.isOfCode && listens ? [] : shown.of.filter((service) => lost.includes(service));
  const isAll = missing.length === shown.of.length && missing.length > 0;
  const doubt = shown.doubts?.find(({ without }) => without === server);
  const isSo = (seen: OnPage) => {
    if (seen.isLoading || seen.isBlank || seen.silence !== '') return false;
    if (missing.length === 0) {
      const isRight = (text: string) => doubt?.words.test(text) ?? false;
      return seen.hasContent && seen.said.every(isRight) && (!doubt?.isSure || seen.said.length > 0);
    }
    const isNamed = (service: Service) => seen.said.some((text) => text.includes(service));
    // Where nothing is left, one sentence speaks of all.
    const says = isAll && seen.said.length > 0 && listens ? true : missing.every(isNamed);
    return (
      says &&
      (isAll || seen.hasRest) &&
      seen.said.every((text) => /Correlation id|: not answered|: no instance answers|The gateway/.test(text))
    );
  };
  const seen = await lookUntil(page, shown, isSo, SAID_WITHIN_MS);
  const isWhole = missing.length === 0 && seen.said.length === 0;
  const words = isWhole ? 'all of it' : isAll ? 'why not' : `without ${missing.join(', ') || server}`;
  const faults = isSo(seen)
    ? []
    : [`${shown.title} shows ${JSON.stringify(seen)} without ${missing.join(', ') || 'nothing'}`];
  return { words, faults };
}

/** Waits until the page says that the gateway is away, beside what it showed before. */
export async function untilItSaysSo(page: Page, shown: ConsolePage): Promise<Seen> {
  const isSo = (seen: OnPage) =>
    seen.silence.startsWith('The gateway does not answer. It was heard last at ') && seen.hasContent;
  const seen = await lookUntil(page, shown, isSo, SAID_WITHIN_MS);
  const faults = isSo(seen) ? [] : [`${shown.title} shows ${JSON.stringify(seen)} without the gateway`];
  return { words: 'without the gateway', faults };
}

/** Waits until the page is whole again, by itself, with nothing on it twice. */
async function untilWhole(page: Page, shown: ConsolePage): Promise<readonly string[]> {
  const isWhole = (seen: OnPage) => !seen.isLoading && seen.silence === '' && seen.said.length === 0 && seen.hasContent;
  const seen = await lookUntil(page, shown, isWhole, HEALED_WITHIN_MS);
  if (!isWhole(seen)) return [`${shown.title} does not become whole again: ${JSON.stringify(seen)}`];
  return seen.twice.length > 0 ? [`${shown.title} shows twice: ${seen.twice.join(', ')}`] : [];
}

/** What is on the page as soon as it is so, or when the time is over. */
async function lookUntil(
  page: Page,
  shown: ConsolePage,
  isSo: (seen: OnPage) => boolean,
  withinMs: number,
): Promise<OnPage> {
  const giveUpAt = performance.now() + withinMs;
  let seen = await whatIs(page, shown);
  while (!isSo(seen) && performance.now() < giveUpAt) {
    await sleep(LOOK_EVERY_MS);
    seen = await whatIs(page, shown);
  }
  return seen;
}

interface OnPage {
  readonly isLoading: boolean;
  readonly isBlank: boolean;
  /** What it says of the gateway. */
  readonly silence: string;
  /** What it says that is missing. */
  readonly said: readonly string[];
  readonly hasContent: boolean;
  /** Whether there is anything besides what it says, such as of the services that answer. */
  readonly hasRest: boolean;
  readonly twice: readonly string[];
  readonly text: string;
}

function whatIs(page: Page, { content }: ConsolePage): Promise<OnPage> {
  return page.evaluate<OnPage>(
    `(() => {
      const main = document.querySelector('main');
      const texts = (selector) => [...(main?.querySelectorAll(selector) ?? [])].map((each) => each.innerText);
      const rowsOf = (body) => [...body.rows].map((row) => row.innerText).filter((text) => text.trim() !== '');
      const isAgain = (row, i, rows) => rows.indexOf(row) !== i;
      const said = texts('.trouble, .note:not(.silence), .balance .warn');
      const all = main?.innerText ?? '';
      return {
        isLoading: /Loading …/.test(all),
        isBlank: all.trim() === '',
        silence: texts('.silence').join(),
        said,
        hasContent: main?.querySelector(${JSON.stringify(content)}) != null,
        hasRest: (main?.querySelectorAll('.card, table, .shelf, .empty, .point').length ?? 0) > 0,
        twice: [...(main?.querySelectorAll('tbody') ?? [])].flatMap((body) => rowsOf(body).filter(isAgain)),
        text: all.slice(0, 400),
      };
    })()`,
  );
}
