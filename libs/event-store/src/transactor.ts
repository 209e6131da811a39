/**
 * From a command to facts in the store: load, decide, append, and after a conflict load and decide again.
 *
 *   transact(decider, stream, command, cause)   one aggregate, one command: what nearly every handler is
 *   together(decisions)                         many decisions over many streams, written as one append
 *
 * (signatures fixed here; the implementation follows)
 */
import type { Decider } from '#decider';
import type { Cause, Fact } from './port.js';

/** What a decision sees and does. It must be free of side effects: it runs again when a state it needs was not loaded yet. */
export interface Desk {
  /** The state of a stream, with the facts that were decided at this desk so far. */
  state<C, E extends Fact, S>(decider: Decider<C, E, S>, stream: string): S;
  /** Decides a command against that state and puts its facts down for the append. Returns them. */
  decide<C, E extends Fact, S>(decider: Decider<C, E, S>, stream: string, command: C, cause: Cause): readonly E[];
  /** Says that `stream` most likely does not exist, which saves reading it: the append finds out. */
  expectNew(stream: string): void;
}

export type Decision<T> = (desk: Desk) => T;

export interface Outcome<E, S> {
  /** The state after the decision. */
  readonly state: S;
  /** The new facts; none when the command was already carried out. */
  readonly events: readonly E[];
  /** Where the stream stands: the position of its last event, 0n when it has none. */
  readonly position: bigint;
}
