/**
 * A checkout in three transactions of ours, with a call of the provider between two of them. What is to be asked of the
 * provider is committed before it is asked: so whoever comes after a crash reads it, and asks again.
 *
 *   take ──▶ authorize ──▶ confirm ──▶ capture ──▶ complete
 *
 * A way says what a transaction is.
 */
import type pg from 'pg';
import { DomainError } from '#decider';
import { isSettled, type Order } from '../../apps/order/src/domain/order.js';
import type { Payment } from '../../apps/payment/src/domain/payment.js';
import { postgresPool } from '#runtime/postgres';
import { complete, confirm, type Shop, take } from './checkout.js';
import { Provider } from './provider.js';
import type { Watch } from './watch.js';
import type { Checkout, Databases, Wanted } from './way.js';

export type Part = 'take' | 'confirm' | 'complete';

export const ours = ['order', 'inventory', 'payment'] as const;
export type Ours = (typeof ours)[number];

export abstract class InParts implements Checkout {
  /** Participants that share a database share its pool. */
  protected readonly pools: Readonly<Record<Ours, pg.Pool>>;
  protected readonly provider: Provider;

  constructor(
    databases: Databases,
    protected readonly watch: Watch,
    providerMs?: number,
  ) {
    const byUrl = new Map<string, pg.Pool>();
    const poolOf = (url: string) => {
      const pool = byUrl.get(url) ?? postgresPool(url, { max: 20, name: 'checkout' });
      byUrl.set(url, pool);
      return pool;
    };
    const { order, inventory, payment, provider } = databases;
    this.pools = { order: poolOf(order), inventory: poolOf(inventory), payment: poolOf(payment) };
    this.provider = new Provider(provider, providerMs);
  }

  async place(wanted: Wanted): Promise<void> {
    const { orderId } = wanted;
    await this.transact(orderId, 'take', async (shop) => {
      const reserved = await this.watch.step('take', 'inventory', orderId, () => take(shop, wanted));
      if (reserved) this.watch.hold(orderId);
    });
    await this.carryOn(orderId);
  }

  /** Every order that is not final is carried on from where it is. */
  async recover(): Promise<void> {
    const { rows } = await this.pools.order.query<{ stream: string; state: Order }>(
      'SELECT stream, state FROM "order".streams',
    );
    for (const { stream, state } of rows)
      if (!isSettled(state)) await this.carryOn(stream.slice('order-'.length)).catch(unlessBroken);
  }

  async close(): Promise<void> {
    await Promise.all([...new Set(Object.values(this.pools))].map((pool) => pool.end()));
    await this.provider.close();
  }

  /** Does `work` on the books of all three, and commits it; again, for as long as others are faster. */
  protected abstract transact(orderId: string, part: Part, work: (shop: Shop) => Promise<void>): Promise<void>;

  /** Does what the payment says is to be done, until there is nothing. */
  private async carryOn(orderId: string): Promise<void> {
    const { watch, provider } = this;
    const { rows } = await this.pools.payment.query<{ state: Payment }>(
      'SELECT state FROM payment.streams WHERE stream = $1',
      [`payment-${orderId}`],
    );
    const state = rows[0]?.state;
    if (state?.status === 'requested') {
      const { amountMinor } = state.amount;
      const authorize = () => provider.authorize(orderId, amountMinor, state.token);
      const verdict = await watch.step('authorize', 'provider', orderId, authorize);
      await this.transact(orderId, 'confirm', (shop) =>
        watch.step('confirm', 'order', orderId, () => confirm(shop, orderId, verdict)),
      );
      watch.decided(orderId);
      await this.carryOn(orderId);
    } else if (state?.status === 'capturing') {
      const { amountMinor } = state.amount;
      await watch.step('capture', 'provider', orderId, () => provider.capture(orderId, amountMinor));
      await this.transact(orderId, 'complete', (shop) =>
        watch.step('complete', 'order', orderId, () => complete(shop, orderId)),
      );
    } else watch.decided(orderId);
  }
}

/** A decider refuses to go on where the books are broken. The order stays as it is: the judge finds it. */
export function unlessBroken(error: unknown): void {
  if (!(error instanceof DomainError)) throw error;
}
