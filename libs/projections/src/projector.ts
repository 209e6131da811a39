/**
 * The projector keeps one projection's table up to date with the events.
 *
 *   ┌▶ wait for the lease ──▶ read the checkpoint ──▶ for each batch: load its rows ──▶ fold ──▶ commit ─┐
 *   │                             ▲                                                                      │
 *   │                             └────────────── the checkpoint has moved ◀─────────────────────────────┤
 *   └──────────────── after a pause ◀──────────── the lease is lost, or a failure ◀──────────────────────┘
 *
 * Rows and checkpoint are committed together and only on top of the checkpoint that the batch began at. So a batch
 * counts once, however often a projector crashes, and even if two are at work: the lease only saves them the wasted work.
 * For the same reason the rows that it wrote last need not be loaded again.
 */
import { LRUCache } from 'lru-cache';
import { type Batch, type EventStore, readAhead } from '#event-store';
import { type Clock, type Leases, type Runtime, supervise } from '#runtime';
import { fold, keysOf, keyText } from './fold.js';
import { CheckpointMoved, type Tables } from './port.js';
import type { AnyProjection, Row } from './projection.js';

/** How long the checkpoint may stand still while only events of other categories arrive. */
const QUIET_MS = 50;
/** Enough for the orders of some seconds at full load, and for the SKUs that sell meanwhile. */
const MAX_ROWS = 2_000;
/** The least time between commits: one of several events costs as much as one of one. It delays readers who wait for a read model. */
const GATHER_MS = 20;

export interface ProjectorOptions {
  readonly projection: AnyProjection;
  readonly store: EventStore;
  readonly tables: Tables;
  readonly leases: Leases;
  readonly runtime: Runtime;
  readonly signal: AbortSignal;
  /** Called after each commit. */
  readonly onProgress?: (progress: { events: number; position: bigint }) => void;
}

/** Runs until `signal` aborts. Failures are logged and retried. */
export function projector({
  projection,
  store,
  tables,
  leases,
  runtime,
  signal,
  onProgress,
}: ProjectorOptions): Promise<void> {
  const name = `projector:${projection.name}`;
  const { clock, log } = runtime;
  const pace = { clock, quietMs: QUIET_MS, gatherMs: GATHER_MS };

  const follow = async (lease: AbortSignal) => {
    let from = await tables.checkpoint(projection);
    const { categories } = projection;
    const known: KnownRows = new LRUCache({ max: MAX_ROWS });
    for await (const batch of readAhead(store, { categories, after: from, signal: lease }, pace)) {
      await advance(tables, projection, from, batch, known);
      from = batch.position;
      onProgress?.({ events: batch.events.length, position: from });
    }
  };

  const followOn = async (lease: AbortSignal) => {
    while (!lease.aborted) {
      try {
        return await follow(lease);
      } catch (error) {
        if (!(error instanceof CheckpointMoved)) throw error;
        log.info(
          { projection: projection.name },
          'The checkpoint or the table has moved: the projector starts from there.',
        );
      }
    }
  };

  return supervise(name, runtime, signal, (running) => leases.hold(name, running, followOn));
}

/** Rows by the text of their key; `row` is undefined for one that does not exist. */
type KnownRows = LRUCache<string, { readonly row: Row | undefined }>;

const NO_ROW = { row: undefined };

/**
 * Folds a batch into the rows that it touches and commits them. `known` are rows as they are at `from`, which need not be
 * loaded: whoever wrote one since then has moved the checkpoint. Those of the batch are added. After an error they count
 * no longer.
 * @throws CheckpointMoved when the checkpoint is not at `from`
 */
export async function advance(
  tables: Tables,
  projection: AnyProjection,
  from: bigint,
  { events, position: to }: Batch,
  known?: KnownRows,
): Promise<void> {
  const { keys, began } = keysOf<Row, any>(projection, events);
  const before = new Map([...keys.keys()].map((text) => [text, began.has(text) ? NO_ROW : known?.get(text)]));
  const missing = [...keys].filter(([text]) => !before.get(text)).map(([, key]) => key);
  const rows = missing.length > 0 ? await tables.load(projection, missing) : [];
  // A key that the database writes differently (a UUID in capitals) would make its row look new, and lose its contents.
  const stranger = rows.find((row) => !keys.has(keyText(projection, row)));
  if (stranger) {
    throw new Error(
      `${projection.name}: key() must give keys as the database writes them, ${keyText(projection, stranger)}.`,
    );
  }
  rows.push(...[...before.values()].flatMap((it) => it?.row ?? []));
  const { upserts, deletes } = fold<Row, any>(projection, rows, events);
  // Who knows rows follows for readers; a table that is being built has none.
  const shows = known !== undefined && keys.size > 0;
  await tables.commit({ projection, from, to, upserts, deletes, shows });
  if (!known) return;
  const after = new Map<string, Row | undefined>([...rows, ...upserts].map((row) => [keyText(projection, row), row]));
  for (const row of deletes) after.delete(keyText(projection, row));
  for (const text of keys.keys()) known.set(text, { row: after.get(text) });
}

/**
 * Waits up to `timeoutMs` milliseconds until a projection has reached `position`, and returns whether it has. A client
 * that reads after this sees what it wrote.
 */
export async function waitForPosition({
  tables,
  projection,
  position,
  clock,
  timeoutMs,
  signal,
}: {
  readonly tables: Tables;
  readonly projection: AnyProjection;
  readonly position: bigint;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}): Promise<boolean> {
  const endMs = clock.monotonicMs() + timeoutMs;
  for (let pauseMs = 5; (await tables.checkpoint(projection)) < position; pauseMs = Math.min(50, pauseMs * 1.5)) {
    const leftMs = endMs - clock.monotonicMs();
    if (leftMs <= 0 || signal.aborted) return false;
    await clock.sleep(Math.min(pauseMs, leftMs), signal);
  }
  return true;
}
