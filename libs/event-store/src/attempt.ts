import type { LRUCache } from 'lru-cache';
import type { Decider } from '#decider';
import { emptyStream, type Folded } from './folded.js';
import type { Cause, DomainEvent } from './port.js';

/**
 * What a decision sees and does. A decision must be free of side effects, because it may run several times. When it asks
 * for a stream that is not loaded yet, that run is a *rehearsal*: it continues with the decider's initial state, only to
 * name the other streams that it needs. Then all of them are loaded at once and the decision runs again.
 */
export interface Desk {
  /** The state of a stream, including the events decided at this desk so far. */
  state<C, E extends DomainEvent, S>(decider: Decider<C, E, S>, stream: string): S;
  /** Decides a command on that state and keeps the events for the append. Returns them. */
  decide<C, E extends DomainEvent, S>(
    decider: Decider<C, E, S>,
    stream: string,
    command: C,
    cause: Cause,
  ): readonly E[];
  /** Declares that `stream` most likely does not exist, which saves reading it: the append finds out. */
  expectNew(stream: string): void;
}

/** What is decided at a desk, and its result. It throws to refuse. */
export type Decision<T> = (desk: Desk) => T;

/** A stream as a batch of decisions knows it. */
export interface Known extends Folded {
  /** Read since the batch began; otherwise from the cache, or assumed to be new. */
  readonly current: boolean;
}

/** What was decided for a stream and is not yet written. */
export interface Draft {
  readonly decider: Decider<any, any, any>;
  state: any;
  readonly events: { readonly event: DomainEvent; readonly cause: Cause }[];
}

/** One attempt at the decisions of a batch: what they saw, what they lacked, what they decided. */
export class Attempt {
  readonly seen = new Map<string, Pick<Folded, 'decider'>>();
  readonly missing = new Map<string, Pick<Folded, 'decider'>>();
  readonly drafts = new Map<string, Draft>();
  /** The streams of refusals that rest on several streams. */
  readonly refusedOn = new Set<string>();
  private readonly expectedNew = new Set<string>();

  /** `unreadable`: the streams that could not be read since the batch began, and why. They fail the decisions that look. */
  constructor(
    private readonly known: Map<string, Known>,
    private readonly cache: LRUCache<string, Folded>,
    private readonly unreadable: ReadonlyMap<string, unknown>,
  ) {}

  /** Runs a decision on drafts of its own, which count only when it does not throw. */
  decide<T>(decision: Decision<T>): PromiseSettledResult<T> {
    const own = new Map<string, Draft>();
    const looked = new Set<string>();
    const stateOf = (decider: Decider<any, any, any>, stream: string) => {
      looked.add(stream);
      return (own.get(stream) ?? this.drafts.get(stream) ?? this.knownOf(decider, stream)).state;
    };
    const desk: Desk = {
      state: stateOf,
      decide: (decider, stream, command, cause) => {
        const state = stateOf(decider, stream);
        const decided = decider.decide(command, state);
        if (decided.length > 0) {
          const draft = own.get(stream) ?? { decider, state, events: [] };
          draft.state = decided.reduce((s, event) => decider.evolve(s, event), draft.state);
          for (const event of decided) draft.events.push({ event, cause });
          own.set(stream, draft);
        }
        return decided;
      },
      expectNew: (stream) => this.expectedNew.add(stream),
    };
    try {
      const value = decision(desk);
      own.forEach((draft, stream) => this.merge(stream, draft));
      return { status: 'fulfilled', value };
    } catch (reason) {
      const rests = looked.size > 1 && ![...looked].some((stream) => this.unreadable.has(stream));
      if (rests) looked.forEach((stream) => this.refusedOn.add(stream));
      return { status: 'rejected', reason };
    }
  }

  private merge(stream: string, { decider, state, events }: Draft): void {
    const draft = this.drafts.get(stream);
    if (!draft) {
      this.drafts.set(stream, { decider, state, events });
      return;
    }
    draft.state = state;
    for (const event of events) draft.events.push(event);
  }

  /** What the batch knows, else what is cached, else a new stream if expected; else it is missing, and this is a rehearsal. */
  private knownOf(decider: Decider<any, any, any>, stream: string): Folded {
    if (this.unreadable.has(stream)) throw this.unreadable.get(stream);
    this.seen.set(stream, { decider });
    const known = this.known.get(stream);
    if (known) return known;
    const folded = this.cache.get(stream) ?? (this.expectedNew.has(stream) ? emptyStream(decider) : undefined);
    if (folded) this.known.set(stream, { ...folded, current: false });
    else this.missing.set(stream, { decider });
    return folded ?? emptyStream(decider);
  }
}
