/** Customers who order all the time, as through a gateway, while services come and go. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Shop } from './shop.js';

const CUSTOMERS = 2;
/** How long a customer waits before the next order. */
const PAUSE_MS = 200;

interface Taken {
  readonly orderId: string;
  /** The Idempotency-Key of the request. */
  readonly key: string;
  /** The instance that took it; undefined when an earlier try may have reached another one. */
  readonly by: number | undefined;
  readonly tookMs: number;
}

export class Customers {
  /** The orders that were taken. */
  readonly taken: Taken[] = [];
  /** Answers that were neither 202 nor a 503, by which a client knows to try again. */
  readonly complaints: string[] = [];
  private isOpen = true;
  private readonly shopping: Promise<unknown>;

  /** `known` are the instances of the order service that the gateway knows of. They order honey. */
  constructor(
    private readonly shop: Shop,
    public known: readonly number[],
  ) {
    this.shopping = Promise.all(Array.from({ length: CUSTOMERS }, (_, n) => this.goShopping(n)));
  }

  /** Those that an instance took, of all after the first `after`. */
  takenBy(instance: number, after = 0): Taken[] {
    return this.taken.slice(after).filter(({ by }) => by === instance);
  }

  /** Sends the request with this key to an instance; undefined: there was no answer. */
  order(key: string, instance: number): Promise<Response | undefined> {
    const headers = { 'content-type': 'application/json', 'idempotency-key': key, ...this.shop.anybody };
    const lines = [{ sku: 'honey', quantity: 1 }];
    const body = JSON.stringify({ customerId: key, lines, payment: { token: 'tok_approved' } });
    return fetch(`${this.shop.order[instance]}/orders`, { method: 'POST', headers, body }).catch(() => undefined);
  }

  /** No more orders. */
  async leave(): Promise<void> {
    this.isOpen = false;
    await this.shopping;
  }

  /** A request that fails is sent again with the same key, to the next instance. */
  private async goShopping(number: number): Promise<void> {
    for (let n = number; this.isOpen; n++, await sleep(PAUSE_MS)) {
      const key = randomUUID();
      const beganMs = performance.now();
      for (let tries = 0; !this.shop.closed; tries++, await sleep(50)) {
        const instance = this.known[(n + tries) % this.known.length]!;
        const answer = await this.order(key, instance);
        if (answer?.status === 202) {
          const { orderId } = (await answer.json()) as { orderId: string };
          const tookMs = performance.now() - beganMs;
          this.taken.push({ orderId, key, by: tries === 0 ? instance : undefined, tookMs });
          break;
        }
        if (answer && answer.status !== 503) this.complaints.push(`${answer.status} ${await answer.text()}`);
      }
    }
  }
}
