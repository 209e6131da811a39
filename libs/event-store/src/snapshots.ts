/**
 * Snapshots: folded states of long streams, so that a process that has just started does not fold a hot SKU from its
 * first event. They are a cache that outlives the process, and nothing more: any of them may be missing or deleted, and
 * one is used only if
 *
 *   - the same code folded it: the digest of `evolve`, of the initial state and of the upcasters is ours;
 *   - the event that it ends with is in its place in the stream: a store that was restored from a backup may have
 *     written another one there.
 *
 * The digest covers the text of `evolve`, but not what that calls. So the `evolve` of a decider with snapshots calls
 * nothing outside itself, and a test of that decider enforces it.
 */
import { LRUCache } from 'lru-cache';
import { createHash } from 'node:crypto';
import type { Decider } from '#decider';
import type { Folded } from './folded.js';
import { categoryOf } from './port.js';
import type { Upcasters } from './upcast.js';

export interface Snapshot {
  readonly stream: string;
  /** The digest of the code that folded it. */
  readonly foldedBy: string;
  /** The last event that was folded. */
  readonly revision: number;
  readonly eventId: string;
  /** A value that JSON can carry. */
  readonly state: any;
}

export abstract class Snapshots {
  /** `every`: events of a stream between two snapshots; a cold start reads at most a few more than that. */
  constructor(readonly every = 100) {}

  /** The latest snapshot of a stream, whichever code folded it. */
  abstract load(stream: string): Promise<Snapshot | undefined>;

  /** Replaces the previous one, unless the same code folded that and it is later. */
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

/** What a transactor uses of the snapshots: those of some categories, folded by its own code. */
export class SnapshotCache {
  private readonly store: Snapshots | undefined;
  private readonly digests = new Map<Decider<any, any, any>, string>();
  /** The revisions of the latest snapshots, by stream. */
  private readonly revisions: LRUCache<string, number>;

  /** Without `snapshots` it keeps none. `max` bounds the streams whose latest snapshot it remembers. */
  constructor(
    ports: { readonly snapshots?: Snapshots },
    private readonly options: {
      readonly categories: readonly string[];
      readonly upcasters: Upcasters;
      readonly max: number;
    },
  ) {
    this.store = ports.snapshots;
    this.revisions = new LRUCache({ max: options.max });
  }

  /** A stream's snapshot if this code folded it. One that cannot be loaded counts as none. */
  async load(stream: string, decider: Decider<any, any, any>): Promise<Snapshot | undefined> {
    if (!this.store || !this.covers(stream)) return undefined;
    const snapshot = await this.store.load(stream).catch(() => undefined);
    return snapshot?.foldedBy === this.digestOf(decider) ? snapshot : undefined;
  }

  /** Notes that a loaded snapshot fits the stream: the next one is due `every` events later. */
  accept({ stream, revision }: Snapshot): void {
    this.revisions.set(stream, revision);
  }

  /** Saves a snapshot when the last one is old enough. Nobody awaits it; if it fails, the next one makes up for it. */
  keep(stream: string, { decider, state, revision, eventId }: Folded): void {
    if (revision === 'none' || !this.store || !this.covers(stream)) return;
    if (revision - (this.revisions.get(stream) ?? -1) < this.store.every) return;
    this.revisions.set(stream, revision);
    this.store.save({ stream, foldedBy: this.digestOf(decider), revision, eventId, state }).catch(() => {});
  }

  private covers(stream: string): boolean {
    return this.options.categories.includes(categoryOf(stream));
  }

  private digestOf(decider: Decider<any, any, any>): string {
    let digest = this.digests.get(decider);
    if (digest === undefined) this.digests.set(decider, (digest = digestOf(decider, this.options.upcasters)));
    return digest;
  }
}

/** A digest of the code that folds a decider's events into its state. */
export function digestOf(decider: Decider<any, any, any>, upcasters: Upcasters): string {
  const upcasts = Object.entries(upcasters).flatMap(([type, steps]) =>
    steps.length > 0 ? [[type, ...steps.map(String)]] : [],
  );
  const code = JSON.stringify([String(decider.evolve), decider.initialState, upcasts]);
  return createHash('sha256').update(code).digest('base64url').slice(0, 16);
}
