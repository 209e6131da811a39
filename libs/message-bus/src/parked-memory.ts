import {
  beginningOf,
  type DeadLetterFilter,
  type DeadLetterKind,
  type DeadLetters,
  type Resolution,
  type ResolutionPage,
  type Failure,
  LOOKED_AT,
  type Outcome,
  type ParkedMessage,
  ParkedMessages,
  type RecordedResolution,
} from './parked.js';
import type { Delivered } from './port.js';

/** Waiting lines in memory, for tests and simulations. */
export class MemoryParkedMessages extends ParkedMessages implements DeadLetters {
  /** By consumer and key, each in the order of its messages. No line is empty. */
  private readonly lines = new Map<string, Map<string, ParkedMessage[]>>();
  private readonly recorded: Omit<RecordedResolution, 'outcome'>[] = [];
  private lastId = 0n;

  override async parkedKeys(consumer: string, keys: readonly string[]): Promise<ReadonlySet<string> | undefined> {
    const lines = this.of(consumer);
    if (lines.size === 0) return undefined;
    return new Set(keys.filter((key) => lines.has(key)));
  }

  override async park(
    consumer: string,
    messages: readonly (Failure & { readonly message: Delivered })[],
    now: Date,
  ): Promise<void> {
    const lines = this.of(consumer);
    const known = new Set([...lines.values()].flat().map(({ message }) => message.id));
    for (const parked of messages) {
      const { id, key } = parked.message;
      if (known.has(id)) continue;
      known.add(id);
      const added = { ...parked, id: ++this.lastId, consumer, parkedAt: now };
      const line = lines.get(key);
      if (line) line.push(added);
      else lines.set(key, [added]);
    }
  }

  override async due(
    consumer: string,
    now: Date,
    limit: number,
    except: readonly string[] = [],
  ): Promise<ParkedMessage[]> {
    return Array.from(this.of(consumer).values(), ([first]) => first!)
      .filter(({ deadAt, nextAttemptAt }) => deadAt === undefined && nextAttemptAt <= now)
      .filter(({ message }) => !except.includes(message.key))
      .sort((a, b) => a.nextAttemptAt.getTime() - b.nextAttemptAt.getTime())
      .slice(0, limit);
  }

  override async recordRetries(
    handled: readonly bigint[],
    failed: readonly (Failure & { readonly id: bigint })[],
    limit = 0,
  ): Promise<ParkedMessage[]> {
    const gone = new Set(handled);
    const next: ParkedMessage[] = [];
    for (const lines of this.lines.values()) {
      for (const [key, line] of lines) {
        const left = line.filter(({ id }) => !gone.has(id));
        if (left.length === line.length) continue;
        if (left.length > 0) lines.set(key, left);
        else lines.delete(key);
        if (!left.some(({ id }) => failed.some((failure) => failure.id === id))) next.push(...left.slice(0, limit));
      }
    }
    for (const failure of failed) this.change(failure.id, (parked) => ({ ...parked, ...failure }));
    return next;
  }

  async listDead(from: bigint, limit: number, filter: DeadLetterFilter = {}): Promise<ParkedMessage[]> {
    return this.dead(filter, from).slice(0, limit);
  }

  async countDead(filter: DeadLetterFilter = {}): Promise<number> {
    return this.dead(filter).length;
  }

  async countKinds(limit: number, filter: DeadLetterFilter = {}): Promise<{ kinds: DeadLetterKind[]; others: number }> {
    const dead = this.dead(filter);
    const counts = new Map<string, number>();
    for (const { message, error } of dead.slice(0, LOOKED_AT)) {
      const kind = JSON.stringify([message.topic, message.type, beginningOf(error)]);
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
    }
    const all = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
    const kinds = all.slice(0, limit).map(([kind, count]) => {
      const [topic, type, error] = JSON.parse(kind) as [string, string, string];
      return { topic, type, error, count };
    });
    return { kinds, others: kinds.reduce((left, { count }) => left - count, dead.length) };
  }

  async resolve(id: bigint, decision: Resolution): Promise<ParkedMessage | undefined> {
    const letter = this.dead().find((it) => it.id === id);
    if (letter) this.carryOut(letter, decision);
    return letter;
  }

  async resolveMany(
    from: bigint,
    filter: DeadLetterFilter,
    decision: Omit<Resolution, 'id'>,
    decisionIds: readonly string[],
  ): Promise<bigint[]> {
    const letters = this.dead(filter, from).slice(0, decisionIds.length);
    letters.forEach((letter, n) => this.carryOut(letter, { ...decision, id: decisionIds[n]! }));
    return letters.map(({ id }) => id);
  }

  async resolutions({ deadLetter, after, limit }: ResolutionPage): Promise<RecordedResolution[]> {
    return this.recorded
      .toSorted(latestFirst)
      .filter((it) => after === undefined || latestFirst(after, it) < 0)
      .filter((it) => deadLetter === undefined || it.deadLetter === deadLetter)
      .slice(0, limit)
      .map((it) => ({ ...it, outcome: this.outcomeOf(it) }));
  }

  private outcomeOf(decision: Omit<RecordedResolution, 'outcome'>): Outcome {
    if (decision.action === 'skip') return 'skipped';
    const isDecidedAgain = this.recorded.some(
      (it) => it.deadLetter === decision.deadLetter && latestFirst(it, decision) < 0,
    );
    const parked = this.all.find(({ id }) => id === decision.deadLetter);
    if (isDecidedAgain || parked?.deadAt) return 'dead-again';
    return parked ? 'waiting' : 'handled';
  }

  private get all(): ParkedMessage[] {
    return [...this.lines.values()].flatMap((lines) => [...lines.values()].flat());
  }

  private of(consumer: string): Map<string, ParkedMessage[]> {
    const lines = this.lines.get(consumer) ?? new Map<string, ParkedMessage[]>();
    this.lines.set(consumer, lines);
    return lines;
  }

  private carryOut(letter: ParkedMessage, decision: Resolution): void {
    const { id, consumer, message, attempts, error } = letter;
    this.recorded.push({ ...decision, deadLetter: id, consumer, message, attempts, error });
    const { deadAt: _, ...alive } = { ...letter, attempts: 0, nextAttemptAt: decision.at };
    this.change(id, () => (decision.action === 'retry' ? alive : undefined));
  }

  private dead({ topic, type, error = '' }: DeadLetterFilter = {}, from = 0n): ParkedMessage[] {
    return this.all
      .filter(({ id, deadAt }) => id >= from && deadAt !== undefined)
      .filter(({ message }) => topic === undefined || message.topic === topic)
      .filter(({ message }) => type === undefined || message.type === type)
      .filter((letter) => letter.error.startsWith(error))
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Replaces or removes a message. */
  private change(id: bigint, step: (parked: ParkedMessage) => ParkedMessage | undefined): void {
    for (const lines of this.lines.values()) {
      for (const [key, line] of lines) {
        if (!line.some((parked) => parked.id === id)) continue;
        const changed = line.flatMap((parked) => (parked.id === id ? (step(parked) ?? []) : parked));
        if (changed.length > 0) lines.set(key, changed);
        else lines.delete(key);
        return;
      }
    }
  }
}

type Decided = Pick<Resolution, 'at' | 'id'>;

function latestFirst(a: Decided, b: Decided): number {
  return b.at.getTime() - a.at.getTime() || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0);
}
