/**
 * The proof, step by step, in a shop that nothing else uses:
 *
 *   people come ─▶ search ─▶ backups ─▶ all but two are erased ─▶ search ─▶ read models are built again ─▶ search
 *     ─▶ the key store of yesterday comes back ─▶ search ─▶ the services' data of yesterday comes back ─▶ search
 *
 * Each search looks for every word of every recipient: there must be none in any place, and in the answers to those who
 * may know them there must be all that are not erased, and no others.
 */
import type { Random } from '#runtime';
import { SystemClock } from '#runtime';
import { perService, services } from '../../apps/shop.js';
import { openBooks } from '../../scripts/lib/reconcile/open-books.js';
import { count, number, type Output } from '../../scripts/lib/progress-bar.js';
import { dim, green, red } from '../../scripts/lib/screen.js';
import { run as reconcile } from '../../scripts/reconcile.js';
import { replay, targetsIn } from '../../scripts/replay.js';
import type { Shop } from '../shop/open-shop.js';
import { type Customer, searchAnswers, searchAuthorised } from './answers.js';
import { backUp, restore, startOverWithMessages, whileClosed } from './backups.js';
import { archiveAll, callOff, fillShop, sendOrder } from './fill.js';
import { keysIn, sealedIn, searchSealed } from './keys.js';
import type { Leak } from './leaks.js';
import { newPerson, type Person } from './people.js';
import { type Finding, filesOf, inDatabase, nameOf, searchFiles, searchTables, searchTopics, Sweep } from './places.js';
import { Search } from './search.js';

/** A shop, and the folders of its servers and logs. */
export interface Searched {
  readonly shop: Shop;
  readonly folders: readonly string[];
}

/** Everybody whose name is looked for, and whose can be seen by those who may. */
export interface People {
  readonly search: Search;
  readonly customers: readonly Customer[];
  readonly kept: readonly Customer[];
}

/** How many of the findings are printed. */
const MAX_COMPLAINTS = 20;

/** What came out: everything that is wrong, and the people as they are at the end. */
export interface Outcome {
  readonly wrong: readonly string[];
  readonly people: People;
}

/** Runs the proof and writes its report. It ends with the first search that finds something, as the one after `leak` does. */
export async function prove(
  at: Searched,
  { random, leak }: { readonly random: Random; readonly leak?: Leak | undefined },
  { stdout }: Output,
): Promise<Outcome> {
  const { shop } = at;
  const { customers, others } = await fillShop(shop, random);
  const returning = newPerson('who has come back', random);
  const search = new Search([...customers, ...others, returning].flatMap(({ secrets }) => secrets));
  const stays = customers.filter(({ who }) => who === 'who stays');
  const look = async (title: string, people: Omit<People, 'search'>): Promise<Outcome> => {
    const all = { search, ...people };
    return { wrong: await lookAround(at, all, title, stdout), people: all };
  };

  await archiveAll(shop);
  await rebuildAll(shop);
  await requireAll(shop);
  const before = await look('The shop as it is', { customers, kept: customers });
  if (before.wrong.length > 0) return before;

  await whileClosed(shop, () => backUp(shop));
  const keys = await keysIn(shop.databases);
  const leaving = customers.filter((customer) => !stays.includes(customer));
  await eraseAll(shop, leaving);
  stdout.write(`${dim(await describeRemains(at, keys))}\n`);
  const back = await comeBack(shop, returning, leaving);
  await leak?.plant(at, stays[0]!);
  const open = { customers: [...customers, back], kept: [...stays, back] };
  const after = await look('After the erasure', open);
  if (after.wrong.length > 0) return after;

  await rebuildAll(shop);
  const rebuilt = await look('With all read models built again', open);
  if (rebuilt.wrong.length > 0) return rebuilt;

  await whileClosed(shop, async () => {
    await restore(shop, ['customer_keys']);
    if ((await keysIn(shop.databases)).length !== keys.length)
      throw new Error('The backup of the key store lacks keys.');
  });
  await untilErasedAgain(shop, search, stays);
  // The key of who has come back was made after the backup.
  const withKeys = await look("With yesterday's key store", { ...open, kept: stays });
  if (withKeys.wrong.length > 0) return withKeys;

  await whileClosed(shop, async () => {
    await restore(shop, services);
    await startOverWithMessages(shop);
  });
  await requireAgreement(shop);
  return look("With yesterday's events and read models", { customers, kept: stays });
}

/** Searches all places and all answers, writes what it found, and returns what is not as it must be. */
export async function lookAround(
  at: Searched,
  people: People,
  title: string,
  out: Output['stdout'],
): Promise<readonly string[]> {
  const sweep = await searchPlaces(at, people);
  const wrong = [...sweep.findings.map(describe), ...(await judgeAnswers(at.shop, people, sweep))];
  const looked = [...sweep.looked].map(([kind, times]) => `${number(times)} ${kind}`).join(', ');
  const kept = `${people.kept.length} of ${count(people.customers.length, 'recipient')} can be opened`;
  out.write(`${title}: ${number(Math.round(sweep.bytes / 2 ** 20))} MB in ${looked}: `);
  out.write(
    wrong.length === 0 ? `${green('nothing in the clear')}; ${kept}\n` : `${red(`${number(wrong.length)} LEAKS`)}\n`,
  );
  wrong.slice(0, MAX_COMPLAINTS).forEach((what) => out.write(`  ${red(what)}\n`));
  return wrong;
}

/** Everything of a shop in which nobody's name may be. */
async function searchPlaces({ shop, folders }: Searched, { search, customers }: People): Promise<Sweep> {
  const sweep = new Sweep(search);
  await searchAnswers(sweep, shop, customers);
  await searchTables(sweep, shop.databases);
  await searchTopics(sweep, shop.databases.bus);
  await searchFiles(sweep, shop.databases, folders);
  return sweep;
}

/** What is wrong with what those see who may: a word that they should see, or one that they should not. */
async function judgeAnswers(shop: Shop, { search, customers, kept }: People, total: Sweep): Promise<string[]> {
  const wrong: string[] = [];
  for (const customer of customers) {
    const sweep = new Sweep(search);
    await searchAuthorised(sweep, shop, customer);
    const theirs = kept.filter(({ customerId }) => customerId === customer.customerId);
    wrong.push(...compare(sweep, theirs, `the answers about the customer ${customer.who}`));
    total.add(sweep);
  }
  const sweep = new Sweep(search);
  searchSealed(sweep, await sealedIn(shop.databases), await keysIn(shop.databases));
  wrong.push(...compare(sweep, kept, 'what the key store opens'));
  total.add(sweep);
  return wrong;
}

function compare({ findings }: Sweep, expected: readonly Customer[], where: string): string[] {
  const secrets = expected.flatMap((customer) => customer.secrets);
  const found = new Set(findings.map(({ secret }) => secret));
  return [
    ...findings.filter(({ secret }) => !secrets.includes(secret)).map(describe),
    ...secrets.filter((secret) => !found.has(secret)).map(({ what }) => `${what} is not in ${where}`),
  ];
}

function describe({ place, secret, encoding, offset }: Finding): string {
  return `${secret.what}, "${secret.text}", in ${encoding}: ${place}, at ${number(offset)}`;
}

/** Erases what there is of these, and waits until it is done. */
async function eraseAll(shop: Shop, customers: readonly Customer[]): Promise<void> {
  for (const customer of customers) await requestErasure(shop, customer);
  const waiting = customers.find(({ who }) => who === 'whose order waits')!;
  if ((await erasureOf(shop, waiting)) !== 'requested')
    throw new Error('The recipient of an order that is not settled was erased.');
  await callOff(shop, waiting.orderIds[0]!);
  await untilErased(shop, customers);
}

async function requestErasure(shop: Shop, { customerId, who }: Customer): Promise<void> {
  const { status } = await fetch(`${shop.order[0]}/customers/${customerId}/personal-data`, {
    method: 'DELETE',
    headers: shop.as(customerId, 'customer'),
  });
  if (status !== 200 && status !== 202)
    throw new Error(`The erasure of the customer ${who} was answered with ${status}.`);
}

async function erasureOf(shop: Shop, { customerId }: Customer): Promise<string> {
  const response = await fetch(`${shop.order[0]}/customers/${customerId}/personal-data`, {
    headers: shop.as(customerId, 'customer'),
  });
  const { erasure } = (await response.json()) as { erasure: { status: string } };
  return erasure.status;
}

async function untilErased(shop: Shop, customers: readonly Customer[]): Promise<void> {
  for (const customer of customers) {
    await shop.until(`the customer ${customer.who} is erased`, async () => {
      const found = await erasureOf(shop, customer);
      return { done: found === 'erased', found };
    });
  }
}

/** The keys of yesterday are there again: the order service erases again what its events say. */
async function untilErasedAgain(shop: Shop, search: Search, kept: readonly Customer[]): Promise<void> {
  const sealed = await sealedIn(shop.databases);
  await shop.until('the keys are erased again', async () => {
    const sweep = new Sweep(search);
    searchSealed(sweep, sealed, await keysIn(shop.databases));
    const found = sweep.findings.filter(({ secret }) => !kept.some(({ secrets }) => secrets.includes(secret)));
    return { done: found.length === 0, found: found.map(describe) };
  });
}

/** One of those who were erased orders again, and is sent to somewhere else. */
async function comeBack(shop: Shop, person: Person, erased: readonly Customer[]): Promise<Customer> {
  const { customerId } = erased.find(({ who }) => who === 'who comes back')!;
  const orderId = await sendOrder(shop, { ...person, customerId });
  await shop.settled(orderId);
  return { ...person, customerId, orderIds: [orderId] };
}

const urlsOf = ({ databases }: Shop) =>
  perService((service) => ({ databaseUrl: databases[service], storeUrl: databases[service] }));

/** What `npm run replay -- --all` does. */
async function rebuildAll(shop: Shop): Promise<void> {
  const written: string[] = [];
  const write = (text: string) => written.push(text);
  const code = await replay(['--all'], targetsIn(urlsOf(shop)), { stdout: { write }, stderr: { write } });
  if (code !== 0) throw new Error(`The read models were not rebuilt: ${written.join('')}`);
}

/** What `npm run reconcile` does. */
async function requireAgreement(shop: Shop): Promise<void> {
  await shop.caughtUp();
  const written: string[] = [];
  const write = (text: string) => written.push(text);
  const open = () => openBooks(urlsOf(shop), new SystemClock());
  const code = await reconcile([], open, { stdout: { write }, stderr: { write } });
  if (code !== 0) throw new Error(`The books disagree: ${written.join('')}`);
}

/**
 * Where bytes of erased keys are still in the files of the server: what Postgres deletes, it overwrites when it needs the
 * room. That is no leak to whoever asks the server, but to whoever has its disk.
 */
async function describeRemains({ shop, folders }: Searched, keys: readonly Buffer[]): Promise<string> {
  await inDatabase(shop.databases, nameOf(shop.databases.customer_keys), (client) => client.query('VACUUM FULL'));
  const left = await keysIn(shop.databases);
  const erased = keys.filter((key) => !left.some((other) => other.equals(key)));
  const places = new Set<string>();
  for await (const { place, content } of filesOf(shop.databases, folders)) {
    if (!place.includes('backup') && erased.some((key) => content.includes(key))) places.add(place);
  }
  const where = places.size === 0 ? 'nowhere' : [...places].join(', ');
  return `Left of ${count(erased.length, 'erased key')} on the disk, after VACUUM FULL of the key store and besides backups: ${where}`;
}

/** The places that are there only if something has happened. @throws when one of them is empty */
async function requireAll({ databases }: Shop): Promise<void> {
  const places = [
    ['order', 'event_store.archive'],
    ['order', 'order_summary_before'],
    ['inventory', 'snapshots'],
    ['inventory', 'parked_messages'],
  ] as const;
  for (const [service, table] of places) {
    await inDatabase(databases, nameOf(databases[service]), async (client) => {
      const { rows } = await client.query<{ rows: number }>(`SELECT count(*)::int AS rows FROM ${table}`);
      if (rows[0]!.rows === 0) throw new Error(`There is nothing in ${table} of ${service} that could be searched.`);
    });
  }
}
