/**
 * The projector keeps one projection's table up with the events.
 *
 *   ┌▶ wait for the lease ──▶ read the checkpoint ──▶ for each batch: load its rows ──▶ fold ──▶ commit ─┐
 *   │                             ▲                                                                      │
 *   │                             └────────────── the checkpoint has moved ◀─────────────────────────────┤
 *   └──────────────── after a pause ◀──────────── the lease is lost, or a failure ◀──────────────────────┘
 *
 * Rows and checkpoint are committed together and only on top of the checkpoint that the batch began at. So a batch
 * counts once, however often a projector crashes, and even if two are at work: the lease only spares them the trouble.
 */
import type { Batch, EventStore } from '#event-store';
import { type Clock, endsWithin, type Leases, type Runtime, supervise } from '#runtime';
import { fold, keysOf, keyText } from './fold.js';
import { CheckpointMoved, type Tables } from './port.js';
import type { AnyProjection, Row } from './projection.js';

/** How long the checkpoint may stand still while only events of other categories go by. */
const QUIET_MS = 50;
/** Commits are at least so far apart: one of several events costs as much as one of one. Whoever waits for a read model waits so long. */
const GATHER_MS = 20;
/** A batch of so many shows that there is more: then nothing has to be gathered. */
const FULL = 500;

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
    for await (const batch of readAhead(store, projection, from, lease, pace)) {
      await advance(tables, projection, from, batch);
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

/**
 * Folds a batch into the rows that it touches and commits them.
 * @throws CheckpointMoved when the checkpoint is not at `from`
 */
export async function advance(
  tables: Tables,
  projection: AnyProjection,
  from: bigint,
  { events, position: to }: Batch,
): Promise<void> {
  const keys: Map<string, Row> = keysOf(projection, events);
  const rows = keys.size > 0 ? await tables.load(projection, [...keys.values()]) : [];
  // A key that the database writes in another way (a UUID in capitals) would make its row look new, and lose what it was.
  const stranger = rows.find((row) => !keys.has(keyText(projection, row)));
  if (stranger) {
    throw new Error(
      `${projection.name}: key() must give keys as the database writes them, ${keyText(projection, stranger)}.`,
    );
  }
  await tables.commit({ projection, from, to, ...fold<Row, any>(projection, rows, events) });
}

/**
 * A projection's subscription, at a pace that suits its consumer. Far behind, the next batch is on its way while the
 * consumer works on one. At the end of the log, what comes within `gatherMs` of the last batch comes as one. A batch
 * without events only moves the position: within `quietMs` it is held back, and left out when another one comes.
 * Ends the subscription when the consumer stops.
 */
export async function* readAhead(
  store: EventStore,
  { categories }: AnyProjection,
  after: bigint,
  signal: AbortSignal,
  { clock, quietMs = 0, gatherMs = 0 }: { clock: Clock; quietMs?: number; gatherMs?: number },
): AsyncGenerator<Batch> {
  const stop = new AbortController();
  const stopped = AbortSignal.any([signal, stop.signal]);
  const batches = store.subscribe({ categories, after, signal: stopped });
  const iterator = batches[Symbol.asyncIterator]();
  const pull = () => {
    const pulled = iterator.next();
    pulled.catch(() => {}); // It may fail while nobody awaits it yet; then whoever awaits it hears.
    return pulled;
  };
  let next = pull();
  let yieldedMs = -Infinity;
  try {
    for (;;) {
      const { done, value: batch } = await next;
      if (done) return;
      const ahead = batch.events.length === 0 || batch.events.length >= FULL || gatherMs === 0;
      if (ahead) next = pull();
      const heldMs = yieldedMs + quietMs - clock.now().getTime();
      if (batch.events.length === 0 && heldMs > 0 && (await endsWithin(clock, heldMs, next))) continue;
      yield batch;
      yieldedMs = clock.now().getTime();
      if (ahead) continue;
      await clock.sleep(gatherMs, stopped);
      next = pull();
    }
  } finally {
    stop.abort();
    await next.catch(() => {});
  }
}

/**
 * Waits until a projection has got as far as `position`, for at most `timeoutMs` milliseconds; whether it has. A client
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
  const endMs = clock.now().getTime() + timeoutMs;
  for (let pauseMs = 5; (await tables.checkpoint(projection)) < position; pauseMs = Math.min(50, pauseMs * 1.5)) {
    const leftMs = endMs - clock.now().getTime();
    if (leftMs <= 0 || signal.aborted) return false;
    await clock.sleep(Math.min(pauseMs, leftMs), signal);
  }
  return true;
}
