/** To-do lists in which a row waits for a person from some time on: when it did, it stays in the table after its end. */
import type { RecordedEvent } from '#event-store';

export interface Attended {
  /** From when on it waits for a person, in ISO 8601; null while it does not. */
  attention_at: string | null;
  /** When a person decided last, or when it no longer waited for one by itself; null while neither has happened. */
  attended_at: string | null;
}

/** `attended_at` of a row after an event that makes `next` of it: undefined when nothing is waited for any longer. */
export function attendedAt(
  row: Attended | undefined,
  next: Pick<Attended, 'attention_at'> | undefined,
  { recordedAt, metadata }: Pick<RecordedEvent, 'recordedAt' | 'metadata'>,
): string | null {
  const isWaiting = (at: string | null | undefined) => typeof at === 'string' && at <= recordedAt;
  const isDecided = metadata.actor !== undefined && metadata.reason !== undefined;
  const hasEnded = isWaiting(row?.attention_at) && !isWaiting(next?.attention_at);
  return isDecided || hasEnded ? recordedAt : (row?.attended_at ?? null);
}

/** What stays of a row when nothing is waited for any longer: that it was attended to, where it waited for a person. */
export function rowAtRest<R extends Attended>(
  row: R | undefined,
  event: Pick<RecordedEvent, 'recordedAt' | 'metadata'>,
): R | undefined {
  const attended_at = attendedAt(row, undefined, event);
  return row && attended_at !== null ? { ...row, attention_at: null, attended_at } : undefined;
}
