/**
 * What the projections of a service commit at the same moment is written together, apart from those that go alone: those
 * whose table failed or hung, until it has been written alone. What fails together is written again one by one, so that a
 * table that is broken or locked is the trouble of its own projection.
 */
import { type Clock, endsWithin } from '#runtime';
import { CheckpointMoved, type TableChange } from './port.js';

/**
 * How long projections wait for each other: for an answer to what they wrote together, which one locked table holds up. Less
 * would make a server that is slow do everything twice.
 */
export const TOGETHER_MS = 3_000;

/** A change on its way to the database. */
interface Waiting {
  readonly change: TableChange;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export interface JointCommitsOptions {
  /**
   * Writes changes of different projections, all of them or, when it fails, none. Returns for each whether its checkpoint
   * was where it begins: one that was elsewhere is not written.
   */
  readonly write: (changes: readonly TableChange[]) => Promise<readonly boolean[]>;
  readonly clock: Clock;
  /** Calls back when what comes at the same moment has come: by default at the end of this turn of the event loop. */
  readonly soon?: (then: () => void) => void;
}

export class JointCommits {
  private waiting: Waiting[] = [];
  /** Projections whose table failed or hung, until it has been written alone. */
  private readonly apart = new Set<string>();

  constructor(private readonly options: JointCommitsOptions) {}

  /** @throws CheckpointMoved as Tables.commit does */
  commit(change: TableChange): Promise<void> {
    const { soon = setImmediate } = this.options;
    return new Promise((resolve, reject) => {
      if (this.waiting.length === 0) soon(() => this.writeWaiting());
      this.waiting.push({ change, resolve, reject });
    });
  }

  private writeWaiting(): void {
    const all = this.waiting;
    this.waiting = [];
    const names = new Set<string>();
    const together: Waiting[] = [];
    for (const each of all) {
      const { name } = each.change.projection;
      if (names.has(name) || this.apart.has(name)) void this.writeAlone(each);
      else together.push(each);
      names.add(name);
    }
    if (together.length === 1) void this.writeAlone(together[0]!);
    else if (together.length > 1) void this.writeTogether(together);
  }

  private async writeTogether(all: readonly Waiting[]): Promise<void> {
    const { write, clock } = this.options;
    const writing = write(all.map(({ change }) => change));
    writing.catch(() => {}); // It may fail when nobody waits for it any longer.
    try {
      if (await endsWithin(clock, TOGETHER_MS, writing)) {
        const moved = await writing;
        return all.forEach((each, i) => answer(each, moved[i]!));
      }
    } catch {
      // Below.
    }
    // Nothing was written; or it is later, and whoever comes second finds that its checkpoint has moved.
    for (const each of all) {
      this.apart.add(each.change.projection.name);
      void this.writeAlone(each);
    }
  }

  private async writeAlone(one: Waiting): Promise<void> {
    try {
      const [moved] = await this.options.write([one.change]);
      this.apart.delete(one.change.projection.name);
      answer(one, moved!);
    } catch (error) {
      one.reject(error);
    }
  }
}

function answer({ change: { projection }, resolve, reject }: Waiting, moved: boolean): void {
  if (moved) resolve();
  else reject(new CheckpointMoved(projection.name));
}
