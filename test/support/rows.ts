/** A projection as a plain call: the row that events lead to, by the same steps as a projector takes. */
import type { DomainEvent, RecordedEvent } from '#event-store';
import type { Projection } from '#projections';

/** The row of a stream after its events, which were recorded one a second from 12:00:00 on; undefined when there is none. */
export function rowAfter<R extends object, E extends DomainEvent>(
  projection: Projection<R, E>,
  stream: string,
  ...events: E[]
): R | undefined {
  return events.reduce<R | undefined>((row, event, i) => {
    const recorded: RecordedEvent<E> = {
      ...event,
      id: `event-${i}`,
      stream,
      revision: i,
      position: BigInt(i + 1),
      metadata: { correlationId: stream, causationId: stream, schema: 1 },
      recordedAt: recordedAt(i),
    };
    return projection.key(recorded) === undefined ? row : projection.apply(row, recorded);
  }, undefined);
}

/** When the event with this index was recorded. */
export function recordedAt(index: number): string {
  return new Date(Date.UTC(2026, 10, 21, 12, 0, index)).toISOString();
}
