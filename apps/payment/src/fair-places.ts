/**
 * The places at the provider, shared out fairly among customers: the next place that is free goes to the customer who has
 * the fewest, and of several to who has waited longest. So whoever comes with one call is next, however many calls others
 * have in line, and a few places are left for whoever comes, because nobody has more than a share.
 */

export interface Limits {
  /** How many calls may be under way at the same time, of all and of each customer. */
  readonly atOnce: { readonly all: number; readonly each: number };
  /** How many may wait for one of those to end; further ones are refused. */
  readonly inLine: { readonly all: number; readonly each: number };
}

export class LineFull extends Error {}

interface Customer {
  atWork: number;
  /** How to begin the calls in line, the first to come first. */
  readonly line: Set<() => void>;
}

export class FairPlaces {
  private atWork = 0;
  private inLine = 0;
  /** Those who have calls, under way or in line. */
  private readonly customers = new Map<string, Customer>();
  /** Those who may be given a place, by how many they have; who has waited longest comes first. */
  private readonly next: readonly Set<Customer>[];

  constructor(private readonly limits: Limits) {
    this.next = Array.from({ length: limits.atOnce.each }, () => new Set<Customer>());
  }

  /**
   * Calls as soon as the customer is given a place.
   * @throws LineFull when too many calls wait, of all or of this customer
   */
  async call<T>(name: string, call: () => Promise<T>): Promise<T> {
    const customer = this.customers.get(name) ?? { atWork: 0, line: new Set() };
    const { atOnce, inLine } = this.limits;
    const waits = this.atWork === atOnce.all || customer.atWork === atOnce.each;
    if (waits && (this.inLine === inLine.all || customer.line.size === inLine.each)) throw new LineFull();
    this.customers.set(name, customer);
    if (waits) {
      await new Promise<void>((begin) => {
        customer.line.add(begin);
        this.inLine++;
        this.queue(customer);
      });
    } else {
      this.take(customer); // Nobody else waits for it: whoever waits has no room.
    }
    try {
      return await call();
    } finally {
      this.next[customer.atWork]?.delete(customer);
      this.atWork--;
      customer.atWork--;
      this.queue(customer);
      if (customer.atWork + customer.line.size === 0) this.customers.delete(name);
      this.giveOut();
    }
  }

  private take(customer: Customer): void {
    this.atWork++;
    customer.atWork++;
  }

  /** Lets a customer wait among those who have as many places. */
  private queue(customer: Customer): void {
    if (customer.line.size > 0) this.next[customer.atWork]?.add(customer);
  }

  /** Gives the place that has become free to whoever is next. */
  private giveOut(): void {
    const customer = this.next
      .find((waiting) => waiting.size > 0)
      ?.values()
      .next().value;
    if (!customer) return;
    const [begin] = customer.line;
    customer.line.delete(begin!);
    this.inLine--;
    this.next[customer.atWork]!.delete(customer);
    this.take(customer);
    this.queue(customer);
    begin!();
  }
}
