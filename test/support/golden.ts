/**
 * Golden files: every shape that an event was ever stored in, one JSON file each, `<Type>[.<variant>].v<version>.json`.
 * A store keeps events forever, so what was once written has to be readable forever. When a shape changes, its file stays,
 * the new shape gets a file with the next version, and an upcaster (the service's upcasters.ts) leads from one to the other.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { Decider } from '#decider';
import { type DomainEvent, MemoryEventStore, type Upcasters, withUpcasters } from '#event-store';
import { ManualClock } from '#runtime/testing';

interface Stored extends DomainEvent {
  /** The version of the shape. */
  readonly schema: number;
}

/** The golden files in a folder, by name without the extension, as a service reads them: lifted to their current shapes. */
export async function goldenEvents<E extends DomainEvent>(
  folder: URL,
  upcasters: Upcasters,
): Promise<Record<string, E>> {
  const store = new MemoryEventStore(new ManualClock());
  const golden: Record<string, E> = {};
  for (const file of readdirSync(folder).sort()) {
    const { type, schema, data } = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as Stored;
    if (!new RegExp(`^${type}(\\.[a-z-]+)?\\.v${schema}\\.json$`).test(file)) {
      throw new Error(`${file} holds version ${schema} of ${type}: rename the file, or fix what it holds.`);
    }
    const metadata = { correlationId: file, causationId: file, schema };
    await store.append([{ stream: `golden-${file}`, expected: 'none', events: [{ id: file, type, data, metadata }] }]);
    for await (const event of withUpcasters(store, upcasters).read(`golden-${file}`)) {
      golden[file.slice(0, -'.json'.length)] = { type: event.type, data: event.data } as E;
    }
  }
  return golden;
}

/** `<Type>.v<version>` of every golden file, sorted. */
export function versionsIn(golden: Readonly<Record<string, unknown>>): string[] {
  return [...new Set(Object.keys(golden).map((name) => name.replace(/\.[a-z-]+(?=\.v\d+$)/, '')))].sort();
}

/** `<Type>.v<version>` of every version that a service's events have had, sorted: each needs a golden file. */
export function versionsOf(upcasters: Upcasters): string[] {
  const versions = Object.entries(upcasters).flatMap(([type, steps]) =>
    Array.from({ length: steps.length + 1 }, (_, step) => `${type}.v${step + 1}`),
  );
  return versions.sort();
}

/** The shapes of the golden files of an aggregate, whose types of events begin with its name; sorted. */
export function goldenShapes(aggregate: string, golden: Readonly<Record<string, DomainEvent>>): string[] {
  const name = aggregate[0]!.toUpperCase() + aggregate.slice(1);
  return shapesOf(Object.values(golden).filter(({ type }) => type.startsWith(name)));
}

/** The different shapes of events, sorted, each as `<Type> {"key":"string",…}`: which keys they have and which JSON types. */
export function shapesOf(events: Iterable<DomainEvent>): string[] {
  const shapes = [...events].map(({ type, data }) => `${type} ${JSON.stringify(shapeOf(data))}`);
  return [...new Set(shapes)].sort();
}

function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return [...new Set(value.map((element) => JSON.stringify(shapeOf(element))))].sort();
  if (value === null) return 'null';
  if (typeof value !== 'object') return typeof value;
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, field]) => [key, shapeOf(field)]));
}

/** All events that a decider decides on for commands one after the other. */
export function eventsOf<C, E, S>(decider: Decider<C, E, S>, ...commands: C[]): E[] {
  let state = decider.initialState;
  return commands.flatMap((command) => {
    const events = decider.decide(command, state);
    state = events.reduce((s, event) => decider.evolve(s, event), state);
    return events;
  });
}
