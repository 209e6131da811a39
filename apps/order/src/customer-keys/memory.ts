/** The key store in memory: for specs, and for services that a simulation runs together in one process. */
import { randomBytes } from 'node:crypto';
import { type CustomerKey, CustomerKeys } from './port.js';

interface Kept extends CustomerKey {
  readonly customerId: string;
  closed: boolean;
}

export class MemoryCustomerKeys extends CustomerKeys {
  private readonly keys = new Map<string, Kept>();

  override async current(customerId: string): Promise<CustomerKey> {
    const open = [...this.keys.values()].find((key) => key.customerId === customerId && !key.closed);
    if (open) return open;
    const made = { ...newKey(), customerId, closed: false };
    this.keys.set(made.kid, made);
    return made;
  }

  override async find(kid: string): Promise<CustomerKey | undefined> {
    return this.keys.get(kid);
  }

  override async close(kids: readonly string[]): Promise<void> {
    for (const key of kids.flatMap((kid) => this.keys.get(kid) ?? [])) key.closed = true;
  }

  override async erase(kids: readonly string[]): Promise<number> {
    return kids.filter((kid) => this.keys.delete(kid)).length;
  }

  override async ping(): Promise<void> {}

  override async end(): Promise<void> {}
}

export function newKey(): CustomerKey {
  return { kid: randomBytes(16).toString('base64url'), secret: randomBytes(32) };
}
