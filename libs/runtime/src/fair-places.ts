/**
 * The places at a server, shared out fairly among callers. Who has none is given any place that is free. Who has some is
 * given another only while many are free, eight for each that they have: so one caller alone has eight of 64, and twenty
 * who all want many have two or three each and leave places for whoever comes. The next place goes to the caller who has
 * the fewest, and of several to who has waited longest.
 */

export interface Limits {
  /** How many calls may be under way at the same time. */
  readonly places: number;
  /** How many may wait, of all and of each caller; further ones are refused. */
  readonly inLine: { readonly all: number; readonly each: number };
}

/** How many places have to be free for each that a caller has, so that they are given another. */
const FREE_FOR_EACH = 8;

export class LineFull extends Error {}

interface Caller {
  atWork: number;
  /** How to begin the calls in line, the first to come first. */
  readonly line: Set<() => void>;
}

export class FairPlaces {
  private free: number;
  private inLine = 0;
  /** Those who have calls, under way or in line. */
  private readonly callers = new Map<string, Caller>();
  /** Those who wait, by how many places they have; who has waited longest comes first. */
  private readonly waiting: readonly Set<Caller>[];

  constructor(private readonly limits: Limits) {
    this.free = limits.places;
    this.waiting = Array.from({ length: limits.places / FREE_FOR_EACH + 1 }, () => new Set<Caller>());
  }

  /**
   * Calls as soon as the caller is given a place.
   * @throws LineFull when too many calls wait, of all or of this caller
   */
  async call<T>(name: string, call: () => Promise<T>): Promise<T> {
    const caller = this.callers.get(name) ?? { atWork: 0, line: new Set() };
    const { all, each } = this.limits.inLine;
    const waits = !this.mayTake(caller);
    if (waits && (this.inLine === all || caller.line.size === each)) throw new LineFull();
    this.callers.set(name, caller);
    if (waits) {
      await new Promise<void>((begin) => {
        caller.line.add(begin);
        this.inLine++;
        this.wait(caller);
      });
    } else {
      this.take(caller); // Nobody else waits for it: whoever waits may take none.
    }
    try {
      return await call();
    } finally {
      this.waiting[caller.atWork]!.delete(caller);
      this.free++;
      caller.atWork--;
      this.wait(caller);
      if (caller.atWork + caller.line.size === 0) this.callers.delete(name);
      this.giveOut();
    }
  }

  private mayTake({ atWork }: Caller): boolean {
    return atWork * FREE_FOR_EACH < this.free;
  }

  private take(caller: Caller): void {
    this.free--;
    caller.atWork++;
  }

  /** Lets a caller wait, if they have calls in line, among those who have as many places. */
  private wait(caller: Caller): void {
    if (caller.line.size > 0) this.waiting[caller.atWork]!.add(caller);
  }

  /** Gives what is free to those who are next. */
  private giveOut(): void {
    while (true) {
      const caller = this.waiting
        .find(({ size }) => size > 0)
        ?.values()
        .next().value;
      if (!caller || !this.mayTake(caller)) return;
      const [begin] = caller.line;
      caller.line.delete(begin!);
      this.inLine--;
      this.waiting[caller.atWork]!.delete(caller);
      this.take(caller);
      this.wait(caller);
      begin!();
    }
  }
}
