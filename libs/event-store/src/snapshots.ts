/**
 * Snapshots: folded states of long streams, so that a process which has just started does not fold a hot SKU from its
 * first event. They are a cache that outlives the process, and nothing more: any of them may be missing or deleted, and
 * one is used only if
 *
 *   - the same code folded it: its digest, of `evolve`, of the initial state and of the upcasters, is ours;
 *   - the event that it ends with is in its place in the stream: a store that was restored from a backup may have
 *     written another one there.
 *
 * The digest sees the text of `evolve` and not what that calls. So the `evolve` of a decider with snapshots calls nothing
 * outside of itself, and a test of that decider holds it.
 */
import { createHash } from 'node:crypto';
import type { Decider } from '#decider';
import type { Upcasters } from './upcast.js';

export interface Snapshot {
  readonly stream: string;
  /** Which code folded it. */
  readonly foldedBy: string;
  /** The last event that was folded. */
  readonly revision: number;
  readonly eventId: string;
  /** What JSON can carry. */
  readonly state: any;
}

export abstract class Snapshots {
  /** `every`: events of a stream from one snapshot to the next, which is how many a cold start reads at most, or a few more. */
  constructor(readonly every = 100) {}

  /** The latest one of a stream, whoever folded it. */
  abstract load(stream: string): Promise<Snapshot | undefined>;

  /** Replaces the one before, unless that was folded by the same code and is later. */
  abstract save(snapshot: Snapshot): Promise<void>;
}

/** Snapshots in memory, for tests and simulations. They are kept as JSON, as in a database. */
export class MemorySnapshots extends Snapshots {
  private readonly snapshots = new Map<string, string>();

  override async load(stream: string): Promise<Snapshot | undefined> {
    const found = this.snapshots.get(stream);
    return found === undefined ? undefined : JSON.parse(found);
  }

  override async save(snapshot: Snapshot): Promise<void> {
    const before = await this.load(snapshot.stream);
    if (before?.foldedBy === snapshot.foldedBy && before.revision >= snapshot.revision) return;
    this.snapshots.set(snapshot.stream, JSON.stringify(snapshot));
  }
}

/** A digest of the code that folds a decider's events into its state. */
export function foldedBy(decider: Decider<any, any, any>, upcasters: Upcasters): string {
  const upcasts = Object.entries(upcasters).flatMap(([type, steps]) =>
    steps.length > 0 ? [[type, ...steps.map(String)]] : [],
  );
  const code = JSON.stringify([String(decider.evolve), decider.initialState, upcasts]);
  return createHash('sha256').update(code).digest('base64url').slice(0, 16);
}
