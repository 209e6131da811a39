/**
 * What happens while nobody decides: the coordinator has died after every participant prepared. Who is locked out, what
 * vacuum cannot remove, what outlasts a restart, and what becomes of it when a participant decides for itself.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isUnavailable } from '#runtime';
import { type Finding, kinds } from '../../scripts/lib/reconcile/finding.js';
import { connected, openBooks, preparedAt, receive } from '../frame/books.js';
import { findingsOf } from '../frame/judge.js';
import { type Kill, strike, wantedBy } from '../frame/kills.js';
import { Watch } from '../frame/watch.js';
import type { Databases, Lab, Table } from '../frame/way.js';

const PREPARED: Kill = { step: 'decide to take', moment: 'before' };
const DECIDED: Kill = { step: 'decide to take', moment: 'after' };
const [WANTED, OTHER] = ['honey', 'olive-oil'] as const;
/** How long somebody waits for a row before they count as locked out. */
const PATIENCE_MS = 200;
const SALES = 100;

const right = ({ ways }: Lab) => ways.at(-1)!;

export interface Situation {
  readonly prepared: number;
  /** Whether somebody else gets the row of the same goods, and that of others. */
  readonly same: 'buys' | 'waits';
  readonly other: 'buys' | 'waits';
  /** After another hundred sales of the other goods. */
  readonly deadRows: number;
}

async function look(databases: Databases): Promise<Situation> {
  return {
    prepared: (await preparedAt(databases)).length,
    same: await tryRow(databases, WANTED),
    other: await tryRow(databases, OTHER),
    deadRows: await deadRowsAfterSales(databases),
  };
}

async function tryRow({ inventory }: Databases, sku: string): Promise<'buys' | 'waits'> {
  return connected(inventory, async (client) => {
    try {
      await client.query(`BEGIN; SET LOCAL lock_timeout = ${PATIENCE_MS};
        SELECT FROM inventory.streams WHERE stream = 'stock-${sku}' FOR UPDATE; COMMIT`);
      return 'buys';
    } catch (error) {
      if ((error as { code?: string }).code !== '55P03') throw error;
      return 'waits';
    }
  });
}

/** A version of a row that a transaction which is still open might see is kept, in whatever table it is. */
async function deadRowsAfterSales({ inventory }: Databases): Promise<number> {
  return connected(inventory, async (client) => {
    for (let i = 0; i < SALES; i++)
      await client.query(`UPDATE inventory.streams SET revision = revision WHERE stream = 'stock-${OTHER}'`);
    await client.query('VACUUM inventory.streams');
    const { rows } = await client.query<{ dead: number }>(
      `SELECT n_dead_tup::int AS dead FROM pg_stat_user_tables WHERE schemaname = 'inventory' AND relname = 'streams'`,
    );
    return rows[0]!.dead;
  });
}

/** Kills a backend, upon which Postgres restarts as after a crash, and resolves when it is back. */
async function crash(url: string): Promise<void> {
  const kill = connected(url, async (client) => {
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    process.kill(rows[0]!.pid, 'SIGKILL');
  });
  await kill.catch(() => {}); // Its own connection goes with it.
  for (;;) {
    try {
      await connected(url, (client) => client.query('SELECT'));
      return;
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      await sleep(50);
    }
  }
}

/** Before, while it is prepared and nobody decides, and after recovery; `restart` has the server of inventory crash between. */
export async function undecided(
  lab: Lab,
  databases: Databases,
  { restart }: { restart: boolean },
): Promise<Map<string, Situation>> {
  await openBooks(databases);
  await receive(databases, { [WANTED]: 2, [OTHER]: 2 });
  const found = new Map([['before', await look(databases)]]);
  await strike(lab, right(lab), databases, PREPARED, wantedBy('anna', 1, WANTED));
  found.set('the coordinator is dead', await look(databases));
  if (restart) {
    await crash(databases.inventory);
    found.set('and inventory has crashed', await look(databases));
  }
  await recover(lab, databases);
  found.set('recovered', await look(databases));
  return found;
}

async function recover(lab: Lab, databases: Databases): Promise<void> {
  const next = right(lab).open(databases, new Watch());
  await next.recover();
  await next.close();
}

export const hands = ['COMMIT', 'ROLLBACK'] as const;

/** Somebody at inventory loses patience, and ends its part by hand; then the coordinator comes back. What the judge says. */
export async function decideByHand(
  lab: Lab,
  databases: Databases,
  kill: Kill,
  hand: (typeof hands)[number],
): Promise<Finding[]> {
  await openBooks(databases);
  await receive(databases, { [WANTED]: 2 });
  const wanted = wantedBy('anna', 1, WANTED);
  await strike(lab, right(lab), databases, kill, wanted);
  for (const { at, gid } of await preparedAt(databases))
    if (at === 'inventory') await connected(databases[at], (client) => client.query(`${hand} PREPARED '${gid}'`));
  await recover(lab, databases);
  return findingsOf(databases, wanted.orderId);
}

export async function tabulate(lab: Lab, databases: Databases): Promise<Table[]> {
  const found = [...(await undecided(lab, databases, { restart: true }))];
  const row = (title: string, of: (situation: Situation) => string | number) => [
    title,
    ...found.map(([, situation]) => `${of(situation)}`),
  ];
  const byHand: string[][] = [];
  for (const kill of [PREPARED, DECIDED])
    for (const hand of hands) {
      const wrong = await decideByHand(lab, databases, kill, hand);
      byHand.push([
        `${kill.moment} “${kill.step}”`,
        hand === 'COMMIT' ? 'commits' : 'rolls back',
        wrong.length === 0 ? 'ok' : `**broken**: ${[...new Set(wrong.map(({ kind }) => kinds[kind]))].join('; ')}`,
      ]);
    }
  return [
    {
      title: 'While nobody decides',
      head: ['killed before “decide to take”', ...found.map(([when]) => when)],
      rows: [
        row('transactions that are prepared', ({ prepared }) => prepared),
        row('who wants the same goods', ({ same }) => same),
        row('who wants others', ({ other }) => other),
        row(`dead rows that VACUUM has to leave, of ${SALES} more sales`, ({ deadRows }) => deadRows),
      ],
    },
    {
      title: 'When a participant decides by hand',
      head: ['the coordinator is killed', 'somebody at inventory', 'after recovery'],
      rows: byHand,
    },
  ];
}
