/**
 * What happened lately in all services, in the order in which it came here, for readers that go on from where they were:
 *
 *   a fact, … ─▶ gathered for 100 ms at most ─▶ a batch: bytes that are made once, whoever reads them ─▶ … ─▶ forgotten
 *
 * The id of a fact is the positions up to which its reader knows everything: `inventory:7,order:12,payment:3`. Two gateways
 * get the facts of different services in different orders, and either knows by such an id what a reader lacks.
 */
import type { Clock } from '#runtime';
import type { Service } from '../../../shop.js';
import type { Positions } from '../positions.js';

/** The first event after a silence passes at once; those after it are gathered. */
const GATHER_MS = 100;
/** How much is gathered at most. */
const BATCH_CHARACTERS = 256 * 1024;
/** How much is kept: some seconds of 100 orders a second, and an hour of a shop in which little happens. */
const MAX_CHARACTERS = 8 * 1024 * 1024;

/** What decides to whom a fact is sent. */
export interface ToldFact {
  readonly service: Service;
  readonly position: bigint;
  /** The order in whose own stream it is. */
  readonly orderId?: string;
  /** Whose order that is, where the fact says so. */
  readonly customerId?: string;
}

export interface Part {
  /** As staff are sent it. */
  readonly text: string;
  /** Absent of what is none: that says how something stands, and does no harm when it comes twice. */
  readonly fact?: ToldFact;
  /** Whether customers are sent it as well. */
  readonly isForAll?: boolean;
}

export interface Batch {
  readonly parts: readonly Part[];
  readonly bytes: Buffer;
  /** How far everything is known with it. */
  readonly reached: Positions;
}

export class Ring {
  private readonly known = new Map<string, bigint>();
  private readonly forgotten = new Map<string, bigint>();
  private batches: Batch[] = [];
  private characters = 0;
  private gathered: Part[] = [];
  private gatheredCharacters = 0;
  private lastFlushMs = -Infinity;
  /** The number of the oldest batch that is kept. */
  first = 0;

  /** `onBatch` is called whenever there is one more. */
  constructor(
    private readonly clock: Clock,
    private readonly onBatch: () => void,
  ) {}

  /** The number that the next batch will have. */
  get end(): number {
    return this.first + this.batches.length;
  }

  /** How far everything is known, of each service that was ever followed. */
  get reached(): Positions {
    return this.known;
  }

  batch(number: number): Batch {
    return this.batches[number - this.first]!;
  }

  /** Everything of a service after this position is going to be added. Returns whether what was before is not known. */
  begin(service: Service, position: bigint): boolean {
    if (this.known.has(service)) return false;
    this.known.set(service, position);
    this.forgotten.set(service, position);
    return true;
  }

  /** The service's log is another than it was: nothing that was said of it counts any more. */
  forget(service: Service): void {
    this.flush();
    this.known.delete(service);
    this.first = this.end;
    [this.batches, this.characters] = [[], 0];
    for (const [each, position] of this.known) this.forgotten.set(each, position);
  }

  /** Adds a fact, unless it is there already. `textOf` makes it into a text with an id. */
  addFact(fact: ToldFact, textOf: (reached: Positions) => string): void {
    if (fact.position <= (this.known.get(fact.service) ?? -1n)) return;
    this.known.set(fact.service, fact.position);
    this.add({ text: textOf(this.known), fact });
  }

  add(part: Part): void {
    this.gathered.push(part);
    this.gatheredCharacters += part.text.length;
    if (this.gatheredCharacters >= BATCH_CHARACTERS) this.flush();
    else if (this.gathered.length === 1) void this.flushLater(this.gathered);
  }

  /** Makes what is gathered into a batch. */
  flush(): void {
    this.lastFlushMs = this.clock.monotonicMs();
    if (this.gathered.length === 0) return;
    const parts = this.gathered;
    const bytes = Buffer.from(parts.map(({ text }) => text).join(''));
    this.batches.push({ parts, bytes, reached: new Map(this.known) });
    this.characters += this.gatheredCharacters;
    [this.gathered, this.gatheredCharacters] = [[], 0];
    while (this.characters > MAX_CHARACTERS) this.dropFirst();
    this.onBatch();
  }

  /** The batch with which somebody goes on who knows everything up to `after`; undefined when that was forgotten. */
  next(after: Positions): number | undefined {
    for (const [service, position] of this.forgotten) {
      if (position > (after.get(service) ?? -1n)) return undefined;
    }
    const found = this.batches.findIndex(({ parts, reached }) => {
      return isUpTo(after, reached) || parts.some(({ fact }) => fact && !isKnown(fact, after));
    });
    return found === -1 ? this.end : this.first + found;
  }

  /** Whether everything up to `after` has been added. A service that was never followed has nothing to say about that. */
  hasReached(after: Positions): boolean {
    return [...this.known].every(([service, position]) => position >= (after.get(service) ?? -1n));
  }

  private async flushLater(gathered: readonly Part[]): Promise<void> {
    await this.clock.sleep(Math.max(0, this.lastFlushMs + GATHER_MS - this.clock.monotonicMs()));
    if (this.gathered === gathered) this.flush();
  }

  private dropFirst(): void {
    const { parts } = this.batches.shift()!;
    this.first++;
    for (const { text, fact } of parts) {
      this.characters -= text.length;
      if (fact) this.forgotten.set(fact.service, fact.position);
    }
  }
}

export function isKnown({ service, position }: ToldFact, after: Positions): boolean {
  return position <= (after.get(service) ?? -1n);
}

function isUpTo(after: Positions, reached: Positions): boolean {
  return [...after].every(([service, position]) => position <= (reached.get(service) ?? -1n));
}
