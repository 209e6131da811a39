/**
 * The payment provider: another company, with books that nobody else writes. It authorizes and captures, and no transaction
 * of ours reaches into it; each of its steps is done once, however often it is asked for.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { postgresPool } from '#runtime/postgres';
import type { Verdict } from './checkout.js';

export class Provider {
  private readonly pool: pg.Pool;

  /** `takesMs`: how long a call takes. */
  constructor(
    url: string,
    private readonly takesMs = 5,
  ) {
    this.pool = postgresPool(url, { max: 20, name: 'provider' });
  }

  /** Holds the money on the customer's card. */
  async authorize(orderId: string, amountMinor: number, token: string): Promise<Verdict> {
    if (token === 'declined') {
      await this.enter(orderId, 'declined', 0, 0);
      return { declined: 'card declined' };
    }
    await this.enter(orderId, 'authorized', amountMinor, 0);
    return { authorizationId: `auth-${orderId}` };
  }

  /** Takes the money that it holds. */
  capture(orderId: string, amountMinor: number): Promise<void> {
    return this.enter(orderId, 'captured', -amountMinor, amountMinor);
  }

  close(): Promise<void> {
    return this.pool.end();
  }

  private async enter(orderId: string, type: string, heldMinor: number, chargedMinor: number): Promise<void> {
    await sleep(this.takesMs);
    await this.pool.query(
      `INSERT INTO provider.ledger (order_id, type, held_minor, charged_minor) VALUES ($1, $2, $3, $4)
       ON CONFLICT DO NOTHING`,
      [orderId, type, heldMinor, chargedMinor],
    );
  }
}
