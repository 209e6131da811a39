/**
 * What is under way: things that come and go by the thousand a second, and are looked through now and then. A Set would do,
 * but it takes a new table after every few of them, and whatever is in the old one at that time, an old one being old to
 * the garbage collector, stays in memory with all that it refers to until that has gone through everything: a third of what
 * a request allocates, which then is copied twice.
 */
export class UnderWay<T> {
  private readonly places: (T | undefined)[] = [];
  private readonly free: number[] = [];

  /** @returns how to take it out again, which is to be called once */
  add(thing: T): () => void {
    const place = this.free.pop() ?? this.places.length;
    this.places[place] = thing;
    return () => {
      this.places[place] = undefined;
      this.free.push(place);
    };
  }

  get isEmpty(): boolean {
    return this.free.length === this.places.length;
  }

  all(): T[] {
    return this.places.filter((thing) => thing !== undefined);
  }
}
