/**
 * Two-phase commit over three databases: each prepares, so that it can commit whatever happens, the coordinator decides, and
 * each commits.
 *
 *   order      work ─▶ PREPARE ─┐                  ┌─▶ COMMIT PREPARED ─┐
 *   inventory  work ─▶ PREPARE ─┼─▶ the log: commit┼─▶ COMMIT PREPARED ─┼─▶ forget
 *   payment    work ─▶ PREPARE ─┘                  └─▶ COMMIT PREPARED ─┘
 *
 * What the log has is committed, however often it takes; what it has not is rolled back: abort is presumed, and never
 * written. The participants are asked one after the other, so that a kill has one place.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { isUnavailable } from '#runtime';
import { Books, Outrun, preparedAt } from '../frame/books.js';
import type { Shop } from '../frame/checkout.js';
import { InParts, type Ours, ours, type Part } from '../frame/in-parts.js';
import type { Watch } from '../frame/watch.js';
import type { Databases, Way } from '../frame/way.js';

/** Postgres' code for a prepared transaction that is not there: it has ended already. */
const HAS_ENDED = '42704';
const AGAIN_MS = 50;

class TwoPhases extends InParts {
  /** Which life of the coordinator this is: recovery is about what the earlier ones have left. */
  private readonly life = randomUUID();
  private begun = 0;

  constructor(
    private readonly databases: Databases,
    watch: Watch,
    private readonly hasLog: boolean,
    providerMs?: number,
  ) {
    super(databases, watch, providerMs);
  }

  protected async transact(orderId: string, part: Part, work: (shop: Shop) => Promise<void>): Promise<void> {
    const { watch, pools, hasLog } = this;
    const name = `${this.life} ${++this.begun} ${part} ${orderId}`;
    const connections = await Promise.all(ours.map((at) => pools[at].connect()));
    const branches = ours.map((at, i) => ({ at, client: connections[i]! }));
    const prepared: Ours[] = [];
    try {
      for (const { client } of branches) await client.query(`BEGIN; SET LOCAL application_name = '${orderId}'`);
      const [order, inventory, payment] = branches.map(
        ({ at, client }) => new Books(client, at, { lock: true, check: true }),
      );
      await work({ order: order!, inventory: inventory!, payment: payment! });
      for (const { at, client } of branches) {
        await watch.step(`prepare ${at}`, at, orderId, () =>
          client.query(`PREPARE TRANSACTION '${branchOf(name, at)}'`),
        );
        prepared.push(at);
      }
    } catch (error) {
      for (const { at, client } of branches) {
        if (prepared.includes(at)) await this.end('ROLLBACK', at, branchOf(name, at));
        else await client.query('ROLLBACK');
      }
      if (error instanceof Outrun) return this.transact(orderId, part, work);
      throw error;
    } finally {
      for (const { client } of branches) client.release();
    }
    const decide = () => pools.order.query('INSERT INTO coordinator.log VALUES ($1)', [name]);
    if (hasLog) await watch.step(`decide to ${part}`, 'order', orderId, decide);
    for (const at of ours) {
      await watch.step(`commit ${at}`, at, orderId, () => this.end('COMMIT', at, branchOf(name, at)));
    }
    if (hasLog) await watch.step('forget', 'order', orderId, () => this.forget([name]));
  }

  /** What an earlier life of the coordinator has left is decided by the log. */
  override async recover(): Promise<void> {
    const isEarlier = (name: string) => !name.startsWith(this.life);
    const { rows } = await this.pools.order.query<{ name: string }>('SELECT name FROM coordinator.log');
    const decided = rows.map(({ name }) => name).filter(isEarlier);
    for (const { at, gid } of await preparedAt(this.databases)) {
      if (!isEarlier(gid)) continue;
      const isDecided = decided.some((name) => gid === branchOf(name, at as Ours));
      await this.end(isDecided ? 'COMMIT' : 'ROLLBACK', at as Ours, gid);
    }
    await this.forget(decided);
    await super.recover();
  }

  private async forget(names: readonly string[]): Promise<void> {
    await this.pools.order.query('DELETE FROM coordinator.log WHERE name = ANY ($1)', [names]);
  }

  /** However long the participant is away. */
  private async end(how: 'COMMIT' | 'ROLLBACK', at: Ours, gid: string): Promise<void> {
    for (;;) {
      try {
        await this.pools[at].query(`${how} PREPARED '${gid}'`);
        return;
      } catch (error) {
        if ((error as pg.DatabaseError).code === HAS_ENDED) return;
        if (!isUnavailable(error)) throw error;
      }
      await sleep(AGAIN_MS);
    }
  }
}

const branchOf = (name: string, at: Ours) => `${name} ${at}`;

const steps = [
  ...ours.map((at) => `prepare ${at}`),
  'decide to take',
  ...ours.map((at) => `commit ${at}`),
  'forget',
  'authorize',
  'decide to confirm',
  'capture',
  'decide to complete',
];

const common = {
  file: 'two-phase-commit/ways.ts',
  needs: 'all three databases and the coordinator',
  installs: 'max_prepared_transactions, and a coordinator that may connect to every database',
};

export const ways: readonly Way[] = [
  {
    ...common,
    name: 'no log',
    wrong: 'the coordinator writes down nothing, and rolls back after a crash what it finds prepared',
    steps: steps.filter((step) => step !== 'forget' && !step.startsWith('decide')),
    open: (databases, watch, providerMs) => new TwoPhases(databases, watch, false, providerMs),
  },
  {
    ...common,
    name: 'two phases',
    steps,
    open: (databases, watch, providerMs) => new TwoPhases(databases, watch, true, providerMs),
  },
];
