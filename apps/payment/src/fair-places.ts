/**
 * The places at the provider, shared out fairly among customers. Who has none is given any place that is free. Who has some
 * is given another only while many are free, eight for each that they have: so one customer alone has eight of 64, and
 * twenty who all want many have two or three each and leave places for whoever comes. The next place goes to the customer
 * who has the fewest, and of several to who has waited longest.
 */

export interface Limits {
  /** How many calls may be under way at the same time. */
  readonly places: number;
  /** How many may wait, of all and of each customer; further ones are refused. */
  readonly inLine: { readonly all: number; readonly each: number };
}

/** How many places have to be free for each that a customer has, so that they are given another. */
const FREE_FOR_EACH = 8;

export class LineFull extends Error {}

interface Customer {
  atWork: number;
  /** How to begin the calls in line, the first to come first. */
  readonly line: Set<() => void>;
}

export class FairPlaces {
  private free: number;
  private inLine = 0;
  /** Those who have calls, under way or in line. */
  private readonly customers = new Map<string, Customer>();
  /** Those who wait, by how many places they have; who has waited longest comes first. */
  private readonly waiting: readonly Set<Customer>[];

  constructor(private readonly limits: Limits) {
    this.free = limits.places;
    this.waiting = Array.from({ length: limits.places / FREE_FOR_EACH + 1 }, () => new Set<Customer>());
  }

  /**
   * Calls as soon as the customer is given a place.
   * @throws LineFull when too many calls wait, of all or of this customer
   */
  async call<T>(name: string, call: () => Promise<T>): Promise<T> {
    const customer = this.customers.get(name) ?? { atWork: 0, line: new Set() };
    const { all, each } = this.limits.inLine;
    const waits = !this.mayTake(customer);
    if (waits && (this.inLine === all || customer.line.size === each)) throw new LineFull();
    this.customers.set(name, customer);
    if (waits) {
      await new Promise<void>((begin) => {
        customer.line.add(begin);
        this.inLine++;
        this.wait(customer);
      });
    } else {
      this.take(customer); // Nobody else waits for it: whoever waits may take none.
    }
    try {
      return await call();
    } finally {
      this.waiting[customer.atWork]!.delete(customer);
      this.free++;
      customer.atWork--;
      this.wait(customer);
      if (customer.atWork + customer.line.size === 0) this.customers.delete(name);
      this.giveOut();
    }
  }

  private mayTake({ atWork }: Customer): boolean {
    return atWork * FREE_FOR_EACH < this.free;
  }

  private take(customer: Customer): void {
    this.free--;
    customer.atWork++;
  }

  /** Lets a customer wait, if they have calls in line, among those who have as many places. */
  private wait(customer: Customer): void {
    if (customer.line.size > 0) this.waiting[customer.atWork]!.add(customer);
  }

  /** Gives what is free to those who are next. */
  private giveOut(): void {
    while (true) {
      const customer = this.waiting
        .find(({ size }) => size > 0)
        ?.values()
        .next().value;
      if (!customer || !this.mayTake(customer)) return;
      const [begin] = customer.line;
      customer.line.delete(begin!);
      this.inLine--;
      this.waiting[customer.atWork]!.delete(customer);
      this.take(customer);
      this.wait(customer);
      begin!();
    }
  }
}
