/** What the pages of the console show while something is away. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, Page } from 'playwright-core';
import { type Service, services } from '../../apps/shop.js';
import type { Headers } from '../../scripts/lib/api.js';
import type { Absence } from './absences.js';
import type { Seen } from './routes.js';

/** How soon a page says what is missing, on a busy machine, too. */
const SAID_WITHIN_MS = 20_000;
/** How soon a page is whole again. */
const HEALED_WITHIN_MS = 30_000;
const LOOK_EVERY_MS = 100;

export interface ConsolePage {
  readonly title: string;
  readonly path: string;
  /** The services that it shows. */
  readonly of: readonly Service[];
  /** What is there when it shows all. */
  readonly content: string;
}

export const pagesOf = (orderId: string): readonly ConsolePage[] => [
  { title: 'Shop', path: '/', of: ['order', 'inventory'], content: '.shelf' },
  { title: 'Orders', path: '/console/orders', of: ['order'], content: '.orders a' },
  { title: 'Story', path: `/console/orders/${orderId}`, of: services, content: '.point' },
  { title: 'Inbox', path: '/console/inbox', of: ['order', 'payment'], content: '.empty' },
  { title: 'Dead letters', path: '/console/dead-letters', of: services, content: '.empty' },
  { title: 'Read models', path: '/console/read-models', of: services, content: '[aria-labelledby="of-payment"]' },
  { title: 'Worlds', path: '/console/worlds', of: [], content: '.examples' },
];

/** Opens a page in a browser of its own, as who sends these headers. */
export async function openPage(browser: Browser, url: string, caller: Headers): Promise<Page> {
  const context = await browser.newContext({ extraHTTPHeaders: { ...caller } });
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

/** Waits until the page says what is missing, and nothing else. */
export async function untilItSays(page: Page, shown: ConsolePage, { lost, listens }: Absence): Promise<Seen> {
  const missing = shown.of.filter((service) => lost.includes(service));
  const isSo = (seen: OnPage) => {
    if (seen.isLoading || seen.isBlank) return false;
    if (missing.length === 0) return seen.said.length === 0 && seen.hasContent;
    const isNamed = (service: Service) => seen.said.some((text) => text.includes(service));
    // Where nothing is left, one sentence speaks of all.
    const says = missing.length === shown.of.length && seen.said.length > 0 && listens ? true : missing.every(isNamed);
    return says && seen.said.every((text) => /Correlation id|: not answered|The gateway/.test(text));
  };
  const seen = await lookUntil(page, shown, isSo, SAID_WITHIN_MS);
  const isAll = missing.length === shown.of.length;
  const words = missing.length === 0 ? 'all of it' : isAll ? 'why not' : `without ${missing.join(', ')}`;
  const faults = isSo(seen)
    ? []
    : [`${shown.title} shows ${JSON.stringify(seen)} without ${missing.join(', ') || 'nothing'}`];
  if (missing.length > 0 && !isAll && !seen.hasRest)
    faults.push(`${shown.title} shows nothing of the rest: ${JSON.stringify(seen)}`);
  return { words, faults };
}

/** Waits until the page is whole again, by itself, with nothing on it twice. */
export async function untilWhole(page: Page, shown: ConsolePage): Promise<readonly string[]> {
  const isWhole = (seen: OnPage) => !seen.isLoading && seen.said.length === 0 && seen.hasContent;
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
      const rows = texts('tbody tr').filter((text) => text.trim() !== '');
      const said = texts('.trouble, .note');
      const all = main?.innerText ?? '';
      return {
        isLoading: /Loading …/.test(all),
        isBlank: all.trim() === '',
        said,
        hasContent: main?.querySelector(${JSON.stringify(content)}) != null,
        hasRest: (main?.querySelectorAll('.card, table, .shelf, .empty, .point').length ?? 0) > 0,
        twice: rows.filter((row, i) => rows.indexOf(row) !== i),
        text: all.slice(0, 400),
      };
    })()`,
  );
}
