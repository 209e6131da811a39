/**
 * One database: order, inventory and payment are schemas of it, and a transaction writes in all three. Only the provider is
 * elsewhere, and no transaction reaches it: so there are three, with a call between two of them.
 *
 *   BEGIN take COMMIT ──▶ authorize ──▶ BEGIN confirm COMMIT ──▶ capture ──▶ BEGIN complete COMMIT
 *
 * What is to be asked of the provider is committed before it is asked. So whoever comes after a crash reads it, and asks
 * again.
 */
import type pg from 'pg';
import { isSettled, type Order } from '../../apps/order/src/domain/order.js';
import { type Payment, payment } from '../../apps/payment/src/domain/payment.js';
import { postgresPool } from '#runtime/postgres';
import { Books, Outrun } from '../frame/books.js';
import { complete, confirm, type Shop, take } from '../frame/checkout.js';
import { Provider } from '../frame/provider.js';
import type { Watch } from '../frame/watch.js';
import type { Checkout, Databases, Wanted, Way } from '../frame/way.js';

/** How a transaction is kept from deciding on what another one has changed since. */
interface Isolation {
  readonly level: 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE';
  readonly lock?: boolean;
  readonly check?: boolean;
}

/** Postgres' codes for a transaction that has to be done again: it could not be serialized, or was in a deadlock. */
const AGAIN = ['40001', '40P01'];

class OneDatabase implements Checkout {
  protected readonly provider: Provider;
  private readonly pool: pg.Pool;

  constructor(
    databases: Databases,
    protected readonly watch: Watch,
    private readonly isolation: Isolation,
    providerMs?: number,
  ) {
    this.pool = postgresPool(databases.order, { max: 20, name: 'checkout' });
    this.provider = new Provider(databases.provider, providerMs);
  }

  async place(wanted: Wanted): Promise<void> {
    const { orderId } = wanted;
    await this.transact(orderId, 'commit the order', async (shop) => {
      const reserved = await this.watch.step('take', 'inventory', orderId, () => take(shop, wanted));
      if (reserved) this.watch.hold(orderId);
    });
    await this.carryOn(orderId);
  }

  /** Every order that is not final is carried on from where it is. */
  async recover(): Promise<void> {
    const { rows } = await this.pool.query<{ stream: string; state: Order }>(
      'SELECT stream, state FROM "order".streams',
    );
    for (const { stream, state } of rows) if (!isSettled(state)) await this.carryOn(stream.slice('order-'.length));
  }

  async close(): Promise<void> {
    await Promise.all([this.pool.end(), this.provider.close()]);
  }

  /** Does what the payment says is to be done, until there is nothing. */
  private async carryOn(orderId: string): Promise<void> {
    const { watch, provider } = this;
    const { rows } = await this.pool.query<{ state: Payment; token: string }>(
      'SELECT state FROM payment.streams WHERE stream = $1',
      [`payment-${orderId}`],
    );
    const state = rows[0]?.state;
    if (state?.status === 'requested') {
      const { amountMinor } = state.amount;
      const authorize = () => provider.authorize(orderId, amountMinor, state.token);
      const verdict = await watch.step('authorize', 'provider', orderId, authorize);
      await this.transact(orderId, 'commit the confirmation', (shop) =>
        watch.step('confirm', 'order', orderId, () => confirm(shop, orderId, verdict)),
      );
      watch.decided(orderId);
      await this.carryOn(orderId);
    } else if (state?.status === 'capturing') {
      const { amountMinor } = state.amount;
      await watch.step('capture', 'provider', orderId, () => provider.capture(orderId, amountMinor));
      await this.transact(orderId, 'commit the completion', (shop) =>
        watch.step('complete', 'order', orderId, () => complete(shop, orderId)),
      );
    } else watch.decided(orderId);
  }

  /** One transaction over all three schemas, done again for as long as others are faster. */
  protected async transact(orderId: string, commit: string, work: (shop: Shop) => Promise<void>): Promise<void> {
    const { level, lock = false, check = false } = this.isolation;
    for (;;) {
      const client = await this.pool.connect();
      try {
        await client.query(`BEGIN ISOLATION LEVEL ${level}; SET LOCAL application_name = '${orderId}'`);
        const [order, inventory, payment] = (['order', 'inventory', 'payment'] as const).map(
          (schema) => new Books(client, schema, { lock, check }),
        );
        await work({ order: order!, inventory: inventory!, payment: payment! });
        await this.watch.step(commit, 'order', orderId, () => client.query('COMMIT'));
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
    await this.transact(orderId, 'commit the order', async (shop) => {
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
  steps: ['commit the order', 'authorize', 'commit the confirmation', 'capture', 'commit the completion'],
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
    steps: ['authorize', 'capture', 'commit the order'],
    needs: 'the database and the provider',
    open: (databases, watch, providerMs) =>
      new CallsInside(databases, watch, { level: 'READ COMMITTED', lock: true, check: true }, providerMs),
  },
  { ...common, name: 'row locks', ...by({ level: 'READ COMMITTED', lock: true, check: true }) },
  { ...common, name: 'revision check', ...by({ level: 'READ COMMITTED', check: true }) },
  { ...common, name: 'serializable', ...by({ level: 'SERIALIZABLE' }) },
];
