/**
 * Gathers items while a batch is under way; they then go together as the next batch, at most `maxBatch` of them. Alone,
 * an item goes at once. `handle` gives each item of its batch a verdict, and returns those that have to go again: they
 * are the first of the next batch. When it throws, the whole batch is rejected. `gather` is how long a batch waits for more
 * items before it goes; by default, until those have come that are added in the same turn of the event loop.
 *
 * The queue is unbounded: its length is limited by the callers, who each await their item.
 */
export class Batcher<Item extends { readonly reject: (reason: unknown) => void }> {
  private waiting: Item[] = [];
  private working = false;

  constructor(
    private readonly maxBatch: number,
    private readonly handle: (batch: readonly Item[]) => Promise<readonly Item[] | void>,
    private readonly gather: () => Promise<void> = () => Promise.resolve(),
  ) {}

  add(item: Item): void {
    this.waiting.push(item);
    if (!this.working) void this.work();
  }

  private async work(): Promise<void> {
    this.working = true;
    await this.gather();
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, this.maxBatch);
      try {
        const again = await this.handle(batch);
        if (again) this.waiting.unshift(...again);
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.working = false;
  }
}

/**
 * Makes concurrent callers share one `look` at a time, so that a thousand waiting reads cost the server as much as one.
 * A look that is under way is too old for a new caller; new callers share the next, which begins when it has ended, and
 * looks for the highest position that one of them wants to see.
 */
export function shareCalls<T>(look: (atLeast: bigint) => Promise<T>): (atLeast?: bigint) => Promise<T> {
  let underWay: Promise<unknown> = Promise.resolve();
  let next: Promise<T> | undefined;
  let highest = 0n;
  return (atLeast = 0n) => {
    if (atLeast > highest) highest = atLeast;
    next ??= underWay.then(() => {
      next = undefined;
      const looking = look(highest);
      highest = 0n;
      underWay = looking.catch(() => {});
      return looking;
    });
    return next;
  };
}
