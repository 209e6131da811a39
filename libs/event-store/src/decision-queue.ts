import { Batcher } from '#runtime';
import type { Decision } from './attempt.js';
import type { Transactor } from './transactor.js';

interface Waiting {
  readonly decision: Decision<unknown>;
  readonly resolve: (outcome: { result: unknown; position: bigint }) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Makes decisions that come at the same time into one append: while one append is under way, decisions wait, and then go
 * together as the next. It is for streams with many writers, such as the stock of a popular SKU: appended one by one,
 * their events would conflict with each other.
 */
export class DecisionQueue {
  private readonly batches: Batcher<Waiting>;

  /** `maxBatch` bounds how many decisions go together. */
  constructor(
    private readonly transactor: Transactor,
    { maxBatch }: { readonly maxBatch: number },
  ) {
    this.batches = new Batcher(maxBatch, (batch) => this.decideAll(batch));
  }

  /**
   * Resolves once the decision's events are written, with the position of the append.
   * @throws what the decision throws; and, to all that went together, what `transactAll` throws
   */
  decide<T>(decision: Decision<T>): Promise<{ result: T; position: bigint }> {
    return new Promise((resolve, reject) => {
      this.batches.add({ decision, resolve: resolve as Waiting['resolve'], reject });
    });
  }

  private async decideAll(batch: readonly Waiting[]): Promise<void> {
    const { results, position } = await this.transactor.transactAll(batch.map(({ decision }) => decision));
    results.forEach((result, i) => {
      if (result.status === 'fulfilled') batch[i]!.resolve({ result: result.value, position });
      else batch[i]!.reject(result.reason);
    });
  }
}
