import type { Decider } from '#decider';
import type { RecordedEvent } from './port.js';

/** A stream folded up to a revision. It is never wrong, only perhaps not the latest. */
export interface Folded {
  readonly decider: Decider<any, any, any>;
  readonly state: any;
  readonly revision: number | 'none';
  /** The id of the event at `revision`; '' when there is none. */
  readonly eventId: string;
  readonly position: bigint;
}

export function emptyStream(decider: Decider<any, any, any>): Folded {
  return { decider, state: decider.initialState, revision: 'none', eventId: '', position: 0n };
}

export function foldNext({ decider, state }: Folded, event: RecordedEvent): Folded {
  const { revision, id: eventId, position } = event;
  return { decider, state: decider.evolve(state, event), revision, eventId, position };
}

export function revisionAfter(revision: number | 'none'): number {
  return revision === 'none' ? 0 : revision + 1;
}
