import { type Decision, type Failure, type ParkedMessage, ParkedMessages } from './parked.js';
import type { Delivered } from './port.js';

/** Waiting lines in memory, for tests and simulations. */
export class MemoryParkedMessages extends ParkedMessages {
  /** What people decided, oldest first. */
  readonly decisions: (Decision & { readonly message: ParkedMessage })[] = [];
  /** In order of their ids. */
  private readonly parked = new Map<bigint, ParkedMessage>();
  private lastId = 0n;

  override async parkedKeys(consumer: string, keys: readonly string[]): Promise<ReadonlySet<string>> {
    const lines = new Set(this.of(consumer).map(({ message }) => message.key));
    return new Set(keys.filter((key) => lines.has(key)));
  }

  override async park(
    consumer: string,
    messages: readonly (Failure & { readonly message: Delivered })[],
    now: Date,
  ): Promise<void> {
    const known = new Set(this.of(consumer).map(({ message }) => message.id));
    for (const parked of messages) {
      if (known.has(parked.message.id)) continue;
      known.add(parked.message.id);
      const id = ++this.lastId;
      this.parked.set(id, { ...parked, id, consumer, parkedAt: now });
    }
  }

  override async due(consumer: string, now: Date, limit: number): Promise<ParkedMessage[]> {
    const firsts = new Map<string, ParkedMessage>();
    for (const parked of this.of(consumer)) {
      if (!firsts.has(parked.message.key)) firsts.set(parked.message.key, parked);
    }
    return [...firsts.values()]
      .filter(({ deadAt, nextAttemptAt }) => deadAt === undefined && nextAttemptAt <= now)
      .sort((a, b) => a.nextAttemptAt.getTime() - b.nextAttemptAt.getTime())
      .slice(0, limit);
  }

  override async settle(
    handled: readonly bigint[],
    failed: readonly (Failure & { readonly id: bigint })[],
  ): Promise<void> {
    for (const id of handled) this.parked.delete(id);
    for (const failure of failed) {
      const parked = this.parked.get(failure.id);
      if (parked) this.parked.set(failure.id, { ...parked, ...failure });
    }
  }

  override async deadLetters(from: bigint, limit: number): Promise<ParkedMessage[]> {
    return [...this.parked.values()].filter(({ id, deadAt }) => id >= from && deadAt !== undefined).slice(0, limit);
  }

  override async decide(id: bigint, decision: Decision): Promise<ParkedMessage | undefined> {
    const parked = this.parked.get(id);
    if (parked?.deadAt === undefined) return undefined;
    this.decisions.push({ ...decision, message: parked });
    const { deadAt: _, ...alive } = { ...parked, attempts: 0, nextAttemptAt: decision.at };
    if (decision.action === 'retry') this.parked.set(id, alive);
    else this.parked.delete(id);
    return parked;
  }

  private of(consumer: string): ParkedMessage[] {
    return [...this.parked.values()].filter((parked) => parked.consumer === consumer);
  }
}
