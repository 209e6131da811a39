/** Replays that are asked for: by whom, one at a time, and what becomes of them when an instance or a server ends. */
import pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { freshDatabase } from '#test/database';
import { idOf, MemoryEventStore } from '#event-store';
import { abortQuietly, Leases, type Log, MemoryLeases, silentLog, supervise, SystemClock } from '#runtime';
import { postgresPool } from '#runtime/postgres';
import { SeededRandom } from '#runtime/testing';
import { PostgresTables, type Replay, type ReplayAction, Replays, rollBack } from '#projections/postgres';
import { type AnyProjection, projection, projector, type Row } from '#projections';

/** Counts a price's events: rows of the order service's own table. */
const prices = projection<Row, { type: string; data: object }>({
  name: 'price-list',
  table: 'price_list',
  categories: ['price'],
  keyColumns: ['sku'],
  key: ({ stream }) => ({ sku: idOf(stream) }),
  apply: (row, { stream, recordedAt }) => ({
    sku: idOf(stream),
    amount_minor: ((row?.amount_minor as number | undefined) ?? 0) + 1,
    currency: 'EUR',
    since: recordedAt,
  }),
});

const clock = new SystemClock();
const runtime = { clock, log: silentLog, random: new SeededRandom(1), ids: { next: () => crypto.randomUUID() } };
const leases = new MemoryLeases();

/** Does not wait for as long as it is told. */
class HurriedClock extends SystemClock {
  override sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return super.sleep(ms / 50, signal);
  }
}

let url: string;
let pool: pg.Pool;
let store: MemoryEventStore;
let instances: { stop: () => Promise<void> }[];
beforeEach(async () => {
  url = await freshDatabase('order');
  pool = postgresPool(url);
  store = new MemoryEventStore(clock);
  instances = [];
  const stop = new AbortController();
  const running = projector({
    projection: prices,
    store,
    tables: new PostgresTables(pool),
    leases,
    runtime,
    signal: stop.signal,
  });
  instances.push({ stop: () => (abortQuietly(stop), running) });
  for (const sku of ['bread', 'tea', 'tea']) await set(sku);
});
afterEach(async () => {
  for (const { stop } of instances) await stop();
  await pool.end();
});

const revisions = new WeakMap<MemoryEventStore, Map<string, number>>();

async function set(sku: string): Promise<void> {
  const known = revisions.get(store) ?? new Map<string, number>();
  revisions.set(store, known);
  const before = known.get(sku);
  known.set(sku, (before ?? -1) + 1);
  const id = crypto.randomUUID();
  const events = [{ id, type: 'PriceSet', data: {}, metadata: { correlationId: id, causationId: id, schema: 1 } }];
  await store.append([{ stream: `price-${sku}`, expected: before ?? 'none', events }]);
  const tables = new PostgresTables(pool);
  const head = await store.head();
  await expect.poll(() => tables.checkpoint(prices)).toBe(head);
}

interface Instance {
  readonly projections?: readonly AnyProjection[];
  readonly store?: MemoryEventStore;
  readonly leases?: Leases;
  readonly clock?: SystemClock;
  readonly log?: Log;
}

/** An instance of the service, which is told of no replay that it was not asked for itself. */
function instance(other: Instance = {}) {
  const replays = new Replays({ ...runtime, databaseUrl: url, pool, store, projections: [prices], leases, ...other });
  let stop: AbortController | undefined;
  let running: Promise<void> | undefined;
  const started = {
    replays,
    start() {
      const signal = (stop = new AbortController()).signal;
      running = supervise('replays', runtime, signal, (s) => replays.run(s), { capMs: 50 });
      return started;
    },
    async stop() {
      if (stop) abortQuietly(stop);
      await running;
    },
  };
  instances.push(started);
  return started;
}

const asked = (action: ReplayAction, of = 'price-list') => ({
  id: crypto.randomUUID(),
  projection: of,
  action,
  actor: 'otto',
  reason: 'a test',
  correlationId: 'one-request',
  askedAt: clock.now(),
});

async function ended(replays: Replays, id: string): Promise<Replay> {
  await expect.poll(async () => (await replays.find(id))?.endedAt, { timeout: 15_000 }).toBeInstanceOf(Date);
  return (await replays.find(id))!;
}

async function carriedOut({ replays }: { replays: Replays }, action: ReplayAction): Promise<Replay> {
  const replay = asked(action);
  expect(await replays.ask(replay)).toBe(true);
  return ended(replays, replay.id);
}

const amounts = async () =>
  (
    await pool.query<{ sku: string; amount: number }>(
      'SELECT sku, amount_minor::int AS amount FROM price_list ORDER BY sku',
    )
  ).rows.map(({ sku, amount }) => `${sku} ${amount}`);

const damage = () => pool.query(`UPDATE price_list SET amount_minor = 99 WHERE sku = 'bread'`);

test('a comparison tells what differs, a rebuild mends it, and a rollback brings it back; each says who asked and why', async () => {
  const one = instance().start();
  expect(await carriedOut(one, 'compare')).toMatchObject({ result: { rows: 2, differing: 0 }, error: undefined });
  await damage();
  const { askedAt: _, id: __, ...by } = asked('compare');
  const compared = await carriedOut(one, 'compare');
  expect(compared).toMatchObject({ ...by, startedAt: expect.any(Date), switchedAt: undefined });
  const difference = { key: { sku: 'bread' }, columns: ['amount_minor'] };
  expect(compared.result).toMatchObject({ differing: 1, differences: [difference] });
  expect(compared.result!.differences![0]).toMatchObject({ table: { amount_minor: 99 }, events: { amount_minor: 1 } });
  expect(await amounts()).toEqual(['bread 99', 'tea 2']);

  const rebuilt = await carriedOut(one, 'rebuild');
  expect(rebuilt).toMatchObject({ result: { rows: 2, differing: 1 }, switchedAt: expect.any(Date) });
  expect(await amounts()).toEqual(['bread 1', 'tea 2']);
  await set('bread');
  expect(await carriedOut(one, 'rollback')).toMatchObject({ result: { events: 1 }, switchedAt: expect.any(Date) });
  expect(await amounts()).toEqual(['bread 100', 'tea 2']);

  const all = await one.replays.list(10);
  expect(all.map(({ action }) => action)).toEqual(['rollback', 'rebuild', 'compare', 'compare']);
  expect(await one.replays.list(1, all[1])).toEqual([all[2]]);
  expect(await one.replays.latest()).toEqual(new Map([['price-list', all[0]]]));
});

test('of several that are asked for at the same time, at two instances, one is carried out, and the next after it', async () => {
  const [one, two] = [instance(), instance()];
  const many = Array.from({ length: 10 }, () => asked('rebuild'));
  const taken = await Promise.all(many.map((each, n) => (n % 2 ? one : two).replays.ask(each)));
  expect(taken.filter(Boolean)).toHaveLength(1);
  one.start();
  two.start();
  await ended(one.replays, many[taken.indexOf(true)]!.id);
  expect(await carriedOut(two, 'rebuild')).toMatchObject({ error: undefined });
  expect(await one.replays.list(20)).toHaveLength(2);
});

test('what an instance was asked for and did not begin, another one carries out, which is at work or starts then', async () => {
  const asks = async () => {
    const replay = asked('rebuild');
    await instance().replays.ask(replay);
    return replay.id;
  };
  const id = await asks();
  const other = instance({ clock: new HurriedClock() }).start();
  expect(await ended(other.replays, id)).toMatchObject({ result: { rows: 2 } });
  expect(await ended(other.replays, await asks())).toMatchObject({ result: { rows: 2 } });
});

test('an instance that stops in the middle leaves it to the next, which resumes it', async () => {
  let reached = () => {};
  const middle = new Promise<void>((resolve) => (reached = resolve));
  /** Has events, and never delivers them. */
  class HangingStore extends MemoryEventStore {
    override head = () => store.head();
    override async *subscribe(options: Parameters<MemoryEventStore['subscribe']>[0]) {
      reached();
      await new Promise<void>((resolve) => options.signal.addEventListener('abort', () => resolve()));
      yield* [];
    }
  }
  const first = instance({ store: new HangingStore(clock) }).start();
  const replay = asked('rebuild');
  await first.replays.ask(replay);
  await middle;
  await first.stop();
  const left = (await first.replays.find(replay.id))!;
  expect(left).toMatchObject({ startedAt: expect.any(Date), endedAt: undefined, error: undefined });
  const done = await ended(instance().start().replays, replay.id);
  expect(done).toMatchObject({ result: { rows: 2 }, startedAt: left.startedAt });
});

test('a rollback whose instance ended right after the switch is not done again, which would undo it', async () => {
  const one = instance().start();
  await damage();
  await carriedOut(one, 'rebuild');
  await one.stop();
  const replay = asked('rollback');
  await one.replays.ask(replay);
  await rollBack({
    ...runtime,
    projection: prices,
    store,
    pool,
    onSwitch: async (client) =>
      void (await client.query('UPDATE replays SET switched_at = now() WHERE id = $1', [replay.id])),
  });
  expect(await amounts()).toEqual(['bread 99', 'tea 2']);
  expect(await ended(instance().start().replays, replay.id)).toMatchObject({ result: {}, error: undefined });
  expect(await amounts()).toEqual(['bread 99', 'tea 2']);
});

test('of two instances that both believe to have the lease, one switches the tables', async () => {
  const one = instance({ leases: new MemoryLeases() }).start();
  await damage();
  await carriedOut(one, 'rebuild');
  const two = instance({ leases: new MemoryLeases() }).start();
  for (const [round, expected] of ['bread 99', 'bread 1', 'bread 99'].entries()) {
    const replay = asked('rollback');
    expect(await (round % 2 ? one : two).replays.ask(replay)).toBe(true);
    await Promise.all([one, two].map(({ replays }) => replays.ask(asked('compare')))); // Wakes both, and is refused.
    expect(await ended(one.replays, replay.id)).toMatchObject({ error: undefined });
    expect((await amounts())[0]).toBe(expected);
  }
});

test('what a person has to mend ends it, with what to do; a server that is away does not', async () => {
  const one = instance().start();
  expect(await carriedOut(one, 'rollback')).toMatchObject({
    error: 'There is no price_list_before: nothing to roll back to.',
    result: undefined,
  });
  await pool.query('CREATE VIEW cheap AS SELECT * FROM price_list');
  expect(await carriedOut(one, 'rebuild')).toMatchObject({ error: expect.stringContaining('drop it first') });
  await pool.query('DROP VIEW cheap');
  await one.stop();

  let failures = 0;
  class AwayStore extends MemoryEventStore {
    override async head(): Promise<bigint> {
      if (++failures < 3) throw Object.assign(new Error('no answer'), { code: 'ECONNREFUSED' });
      return store.head();
    }
    override subscribe = store.subscribe.bind(store);
  }
  expect(await carriedOut(instance({ store: new AwayStore(clock) }).start(), 'rebuild')).toMatchObject({
    result: { rows: 2 },
    error: undefined,
  });
  expect(failures).toBe(3);
});

test('a bug in the projection ends it and names itself, and so does a read model that this release does not know', async () => {
  const broken = { ...prices, apply: () => { throw new TypeError('No such field.'); } } as AnyProjection; // prettier-ignore
  const one = instance({ projections: [broken] }).start();
  expect(await carriedOut(one, 'rebuild')).toMatchObject({ error: expect.stringContaining('No such field.') });
  const unknown = asked('rebuild', 'shelf');
  await one.replays.ask(unknown);
  expect(await ended(one.replays, unknown.id)).toMatchObject({ error: 'This release has no read model shelf.' });
  expect(await amounts()).toEqual(['bread 1', 'tea 2']);
});

test('while `npm run replay` is at work on the read model, it waits', async () => {
  const held = new pg.Client(url);
  await held.connect();
  instances.push({ stop: () => held.end() });
  await held.query(`SELECT pg_advisory_lock(hashtextextended('price-list:rebuild', 0))`);
  const said: string[] = [];
  const log = { ...silentLog, info: (_: object, message: string) => void said.push(message) };
  const one = instance({ clock: new HurriedClock(), log }).start();
  const replay = asked('rebuild');
  await one.replays.ask(replay);
  await expect.poll(() => said).toContainEqual(expect.stringContaining('A replay waits'));
  expect(await one.replays.find(replay.id)).toMatchObject({ endedAt: undefined });
  await held.query('SELECT pg_advisory_unlock_all()');
  await set('tea');
  expect(await ended(one.replays, replay.id)).toMatchObject({ result: { rows: 2 }, error: undefined });
});

test('an instance that stops does not wait for a statement that takes long', async () => {
  const other = new pg.Client(url);
  await other.connect();
  instances.push({ stop: () => other.end() });
  await other.query('BEGIN; LOCK TABLE price_list');
  const one = instance().start();
  const replay = asked('compare');
  await one.replays.ask(replay);
  const waiting = async () => {
    const { rowCount } = await pool.query(
      `SELECT FROM pg_stat_activity WHERE application_name = 'larder-replay' AND datname = current_database() AND wait_event_type = 'Lock'`,
    );
    return rowCount;
  };
  await expect.poll(waiting, { timeout: 15_000 }).toBe(1);
  await one.stop();
  expect(await one.replays.find(replay.id)).toMatchObject({ startedAt: expect.any(Date), endedAt: undefined });
  await other.query('ROLLBACK');
  expect(await ended(instance().start().replays, replay.id)).toMatchObject({ result: { differing: 0 } });
});
