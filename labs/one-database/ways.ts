/**
 * One database: order, inventory and payment are schemas of it, and a transaction writes in all three. Only the provider is
 * elsewhere, and no transaction reaches it: so there are three (in-parts.ts), with a call between two of them.
 *
 *   BEGIN take COMMIT ──▶ authorize ──▶ BEGIN confirm COMMIT ──▶ capture ──▶ BEGIN complete COMMIT
 */
import type pg from 'pg';
import { payment } from '../../apps/payment/src/domain/payment.js';
import { Books, Outrun } from '../frame/books.js';
import { complete, confirm, type Shop, take } from '../frame/checkout.js';
import { InParts, ours, type Part } from '../frame/in-parts.js';
import type { Watch } from '../frame/watch.js';
import type { Databases, Wanted, Way } from '../frame/way.js';

/** How a transaction is kept from deciding on what another one has changed since. */
interface Isolation {
  readonly level: 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE';
  readonly lock?: boolean;
  readonly check?: boolean;
}

/** Postgres' codes for a transaction that has to be done again: it could not be serialized, or was in a deadlock. */
const AGAIN = ['40001', '40P01'];

const COMMIT: Readonly<Record<Part, string>> = {
  take: 'commit the order',
  confirm: 'commit the confirmation',
  complete: 'commit the completion',
};

class OneDatabase extends InParts {
  constructor(
    databases: Databases,
    watch: Watch,
    private readonly isolation: Isolation,
    providerMs?: number,
  ) {
    super(databases, watch, providerMs);
  }

  /** One transaction over all three schemas, done again for as long as others are faster. */
  protected async transact(orderId: string, part: Part, work: (shop: Shop) => Promise<void>): Promise<void> {
    const { level, lock = false, check = false } = this.isolation;
    for (;;) {
      const client = await this.pools.order.connect();
      try {
        await client.query(`BEGIN ISOLATION LEVEL ${level}; SET LOCAL application_name = '${orderId}'`);
        const [order, inventory, payment] = ours.map((schema) => new Books(client, schema, { lock, check }));
        await work({ order: order!, inventory: inventory!, payment: payment! });
        await this.watch.step(COMMIT[part], 'order', orderId, () => client.query('COMMIT'));
        return;
      } catch (error) {
        await client.query('ROLLBACK').catch(() => {});
        if (!(error instanceof Outrun) && !AGAIN.includes((error as pg.DatabaseError).code ?? '')) throw error;
      } finally {
        client.release();
      }
    }
  }
}

/** As it is often written: everything in one transaction, and with it the calls of the provider. */
class CallsInside extends OneDatabase {
  override async place(wanted: Wanted): Promise<void> {
    const { orderId } = wanted;
    const { watch, provider } = this;
    await this.transact(orderId, 'take', async (shop) => {
      const reserved = await watch.step('take', 'inventory', orderId, () => take(shop, wanted));
      if (reserved) watch.hold(orderId);
      const state = await shop.payment.state(payment, `payment-${orderId}`);
      if (state.status !== 'requested') return;
      const { amountMinor } = state.amount;
      const authorize = () => provider.authorize(orderId, amountMinor, wanted.token);
      const verdict = await watch.step('authorize', 'provider', orderId, authorize);
      await watch.step('confirm', 'order', orderId, () => confirm(shop, orderId, verdict));
      if ('declined' in verdict) return;
      await watch.step('capture', 'provider', orderId, () => provider.capture(orderId, amountMinor));
      await watch.step('complete', 'order', orderId, () => complete(shop, orderId));
    });
    watch.decided(orderId);
  }
}

const common = {
  steps: [COMMIT.take, 'authorize', COMMIT.confirm, 'capture', COMMIT.complete],
  file: 'one-database/ways.ts',
  needs: 'the database',
  installs: 'one database for all, and nothing else',
};

const by = (isolation: Isolation): Pick<Way, 'open'> => ({
  open: (databases, watch, providerMs) => new OneDatabase(databases, watch, isolation, providerMs),
});

export const ways: readonly Way[] = [
  {
    ...common,
    name: 'read and write back',
    wrong: 'reads the stock, decides, and writes it back, at the level that a connection has by itself',
    ...by({ level: 'READ COMMITTED' }),
  },
  {
    ...common,
    name: 'calls inside',
    wrong: 'calls the provider within the transaction',
    steps: ['authorize', 'capture', COMMIT.take],
    needs: 'the database and the provider',
    open: (databases, watch, providerMs) =>
      new CallsInside(databases, watch, { level: 'READ COMMITTED', lock: true, check: true }, providerMs),
  },
  { ...common, name: 'row locks', ...by({ level: 'READ COMMITTED', lock: true, check: true }) },
  { ...common, name: 'revision check', ...by({ level: 'READ COMMITTED', check: true }) },
  { ...common, name: 'serializable', ...by({ level: 'SERIALIZABLE' }) },
];
