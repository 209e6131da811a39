/**
 * `npm run replay -- order-summary` rebuilds a read model from its service's events while the service stays open, and
 * reports how many rows were wrong. An interrupted run is resumed by the next one.
 *
 *   --all          every read model, one after the other
 *   --compare      reports which rows are wrong, and leaves them
 *   --rollback     switches back to the previous table; a second rollback undoes the first
 *   --until <…>    builds the read model as of a time or a position, in a table of its own
 *   --fresh        starts over instead of resuming what an earlier run has built
 *   --list         lists the read models, and how far each is behind
 */
import { type EventStore, withUpcasters } from '#event-store';
import {
  buildAsOf,
  compareWithEvents,
  PostgresTables,
  rebuild,
  RebuildFailed,
  type RebuildOptions,
  RebuildRefused,
  rollBack,
  type RowDifference,
} from '#projections/postgres';
import type { AnyProjection } from '#projections';
import { postgresPool } from '#runtime/postgres';
import { silentLog, SystemClock } from '#runtime';
import pg from 'pg';
import { type Service, services, shop } from '../apps/shop.js';
import { Advice } from './lib/advice.js';
import { psqlCommand } from './lib/addresses.js';
import { type Database, databasesOfTheShop, openEvents } from './lib/databases.js';
import { readCommandLine, UsageError } from './lib/command-line.js';
import { count, number, type Output, progressBar } from './lib/progress-bar.js';

export interface ReplayTarget {
  readonly service: string;
  readonly projection: AnyProjection;
  readonly databaseUrl: string;
  readonly openStore: () => Promise<EventStore>;
}

interface Request {
  readonly targets: readonly ReplayTarget[];
  readonly action: 'rebuild' | 'compare' | 'rollback' | 'list' | { readonly until: Date | bigint };
  readonly fresh: boolean;
}

const flag = { type: 'boolean', default: false } as const;
const OPTIONS = {
  all: flag,
  compare: flag,
  rollback: flag,
  fresh: flag,
  list: flag,
  until: { type: 'string' },
} as const;

/** How many characters of a value are printed. */
const VALUE_LENGTH = 60;

/** The terminal sends Ctrl-C to this process and to npm, which forwards it: signals this close together are one Ctrl-C. */
const SAME_CTRL_C_MS = 500;

const usageFor = (readModels: readonly string[]) =>
  `npm run replay -- <read model> or --all, with at most one of --compare, --rollback, --until <time or position>; or --list. Read models: ${readModels.join(', ')}.`;

export const usage = usageFor(services.flatMap((service) => shop[service].projections.map(({ name }) => name)));

export async function main(argv: readonly string[]): Promise<void> {
  const stop = new AbortController();
  let stoppedMs = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      const isSecond = stop.signal.aborted && performance.now() - stoppedMs > SAME_CTRL_C_MS;
      if (isSecond && signal === 'SIGINT') process.exit(130);
      stoppedMs ||= performance.now();
      stop.abort();
    });
  }
  process.exitCode = await replay(argv, targetsIn(await databasesOfTheShop()), process, stop.signal);
}

/** The read models of a shop with these databases. */
export function targetsIn(databases: Readonly<Record<Service, Database>>): ReplayTarget[] {
  return services.flatMap((service) => {
    const database = databases[service];
    const { projections, upcasters } = shop[service];
    const openStore = async () => withUpcasters(await openEvents(service, database, new SystemClock()), upcasters);
    return projections.map((projection) => ({ service, projection, databaseUrl: database.databaseUrl, openStore }));
  });
}

/**
 * Returns the exit code: 0 when done; 1 when rows differ or the action failed; 2 when the command line is wrong or does not
 * apply to the current tables; 130 when `signal` stopped it. Unexpected failures are thrown.
 */
export async function replay(
  argv: readonly string[],
  targets: readonly ReplayTarget[],
  out: Output,
  signal?: AbortSignal,
): Promise<number> {
  const request = parseRequest(argv, targets, out);
  if (!request) return 2;
  if (request.action === 'list') {
    await list(targets, out);
    return 0;
  }
  let code = 0;
  for (const target of request.targets) {
    try {
      code = Math.max(code, await replayOne(target, request, out, signal));
    } catch (error) {
      if (signal?.aborted) {
        out.stderr.write(`Stopped. ${describeKept(request)}\n`);
        return 130;
      }
      if (error instanceof Advice) throw error;
      if (!(error instanceof RebuildFailed)) {
        out.stderr.write(`${target.projection.name} failed. ${describeKept(request)}\n`);
        throw error;
      }
      out.stderr.write(`${error.message}\n`);
      code = Math.max(code, error instanceof RebuildRefused ? 2 : 1);
    }
  }
  return code;
}

function parseRequest(argv: readonly string[], targets: readonly ReplayTarget[], out: Output): Request | undefined {
  const names = targets.map(({ projection }) => projection.name);
  const syntax = { usage: usageFor(names), allowPositionals: true, options: OPTIONS } as const;
  return readCommandLine(argv, syntax, out, ({ values, positionals }): Request => {
    const { all, compare, rollback, fresh, list, until } = values;
    if (list && argv.length > 1) throw new UsageError('--list takes no other arguments.');
    if (list) return { targets, action: 'list', fresh };
    const [name, ...more] = positionals;
    const chosen = all ? targets : targets.filter(({ projection }) => projection.name === name);
    if (all ? name !== undefined : name === undefined || more.length > 0) throw new UsageError();
    if (chosen.length === 0) throw new UsageError(`There is no read model ${name}.`);
    if (Number(compare) + Number(rollback) + Number(until !== undefined) > 1) throw new UsageError();
    if (fresh && (rollback || until !== undefined)) {
      throw new UsageError('--fresh applies only to a rebuild and to --compare.');
    }
    if (until === undefined) {
      return { targets: chosen, action: compare ? 'compare' : rollback ? 'rollback' : 'rebuild', fresh };
    }
    const moment = parseMoment(until);
    if (moment === undefined) {
      throw new UsageError(`"${until}" is neither a position nor a past time such as 2026-11-20T12:00Z.`);
    }
    if (all && typeof moment === 'bigint') {
      throw new UsageError('Each event store has its own positions: with --all, give a time.');
    }
    return { targets: chosen, action: { until: moment }, fresh };
  });
}

/** A position, or a past time (ISO 8601, with its offset); undefined for anything else. */
function parseMoment(text: string): Date | bigint | undefined {
  if (/^\d{1,19}$/.test(text)) return BigInt(text);
  const [, day, rest] =
    /^(\d{4}-\d{2}-\d{2})(T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2}))$/.exec(text) ?? [];
  const time = new Date(`${day}${rest}`);
  // JavaScript reads the 31st of a month with 30 days as the next day.
  const isDay = (of: Date) => !Number.isNaN(of.getTime()) && of.toISOString().startsWith(`${day}`);
  return isDay(new Date(`${day}T00:00Z`)) && time.getTime() <= Date.now() ? time : undefined;
}

/** What an interrupted run leaves behind, as a sentence. */
function describeKept({ action }: Request): string {
  if (action === 'rollback') return 'The table is unchanged.';
  const kept = 'What was built so far is kept: the same command resumes it';
  return typeof action === 'object' ? `${kept}.` : `${kept}, and --fresh starts over.`;
}

/** One read model at work: what every action needs of it. */
interface Run {
  readonly name: string;
  readonly databaseUrl: string;
  readonly options: RebuildOptions;
  /** Takes the progress bar away and prints the result. */
  print(...lines: string[]): void;
  /** `in 1.2 s`, since the run began. */
  elapsed(): string;
}

/** Carries out the request for one read model, and returns the exit code. */
async function replayOne(
  { projection, databaseUrl, openStore }: ReplayTarget,
  { action, fresh }: Request,
  out: Output,
  signal?: AbortSignal,
): Promise<number> {
  const clock = new SystemClock();
  const startedMs = clock.monotonicMs();
  const store = await openStore();
  const pool = postgresPool(databaseUrl, { max: 2, name: 'larder-replay', answerMs: 0 });
  const bar = progressBar(clock, out.stderr, 'event');
  const options: RebuildOptions = {
    projection,
    store,
    pool,
    clock,
    log: { ...silentLog, info: (_, message) => bar.note(message) },
    ...(signal && { signal }),
    // Positions may have gaps: they give the share that is done, and only the events that were read give the speed.
    onProgress: ({ events, position, from, target }) =>
      bar.show({ share: Number(position) / Number(target), before: Number(from) / Number(target), done: events }),
  };
  const run: Run = {
    name: projection.name,
    databaseUrl,
    options,
    print(...lines) {
      bar.end();
      out.stdout.write(lines.map((line) => `${line}\n`).join(''));
    },
    elapsed: () => `in ${((clock.monotonicMs() - startedMs) / 1000).toFixed(1)} s`,
  };
  try {
    if (action === 'compare') return await compareOne(run, fresh);
    if (action === 'rollback') return await rollBackOne(run);
    if (typeof action === 'object') return await buildOneAsOf(run, action.until);
    return await rebuildOne(run, fresh);
  } finally {
    bar.end();
    await store.close();
    await pool.end();
  }
}

async function compareOne(run: Run, fresh: boolean): Promise<number> {
  const { rows, events, differing, position, differences } = await compareWithEvents({ ...run.options, fresh });
  const rest = differing - differences.length;
  run.print(
    `${summarize(run, rows, events)}; ${countDiffering(differing)} from the live table at position ${number(position)}.`,
    ...differences.map((difference) => `  ${describeDifference(difference)}`),
    ...(rest > 0 ? [`  … and ${count(rest, 'row')} more.`] : []),
    ...(differing > 0 ? [`\`npm run replay -- ${run.name}\` corrects the live table.`] : []),
  );
  return differing > 0 ? 1 : 0;
}

async function rollBackOne(run: Run): Promise<number> {
  const { events, stale } = await rollBack(run.options);
  const warning = stale ? ' It was built by another version of the code.' : '';
  run.print(
    `${run.name}: switched back to the previous table, which caught up on ${count(events, 'event')}, ${run.elapsed()}.${warning}`,
    `\`npm run replay -- ${run.name} --rollback\` again undoes the rollback.`,
  );
  return 0;
}

async function buildOneAsOf(run: Run, until: Date | bigint): Promise<number> {
  const { table, rows, events, position } = await buildAsOf({ ...run.options, until });
  const place = `position ${number(position)}`;
  const moment = typeof until === 'bigint' ? place : `${until.toISOString()} (${place})`;
  const psql = `${psqlCommand(run.databaseUrl)} -c`;
  run.print(
    `${summarize(run, rows, events)}, as of ${moment}: table ${table}.`,
    `  ${psql} 'SELECT * FROM ${table} LIMIT 10'`,
    `  ${psql} 'DROP TABLE ${table}'`,
  );
  return 0;
}

async function rebuildOne(run: Run, fresh: boolean): Promise<number> {
  const { rows, events, differing, before } = await rebuild({ ...run.options, fresh });
  run.print(
    `${summarize(run, rows, events)}; ${countDiffering(differing)} from the previous table.`,
    `The previous table is kept as ${before}: \`npm run replay -- ${run.name} --rollback\` switches back to it, and DROP TABLE ${before} frees its disk space.`,
  );
  return 0;
}

function summarize({ name, elapsed }: Run, rows: number, events: number): string {
  return `${name}: ${count(rows, 'row')} from ${count(events, 'event')} ${elapsed()}`;
}

function countDiffering(rows: number): string {
  return `${count(rows, 'row')} ${rows === 1 ? 'differs' : 'differ'}`;
}

/** `sku "bread": amount_minor 99 → 100`: the value in the table, and the value that the events give. */
function describeDifference({ key, table, events, columns }: RowDifference): string {
  const row = Object.entries(key).map(([column, value]) => `${column} ${formatValue(value)}`);
  const what = !table
    ? 'is missing'
    : !events
      ? 'should not exist'
      : columns.map((column) => `${column} ${formatValue(table[column])} → ${formatValue(events[column])}`).join(', ');
  return `${row.join(', ')}: ${what}`;
}

function formatValue(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > VALUE_LENGTH ? `${text.slice(0, VALUE_LENGTH - 1)}…` : text;
}

async function list(targets: readonly ReplayTarget[], out: Output): Promise<void> {
  const lines = await Promise.all(
    targets.map(async ({ service, projection, databaseUrl, openStore }) => {
      const store = await openStore();
      const pool = postgresPool(databaseUrl, { max: 1, name: 'larder-replay', answerMs: 0 });
      try {
        const tables = new PostgresTables(pool);
        const stale = await tables.staleness(projection);
        const position = await tables.checkpoint(projection);
        const behind = (await store.head()) - position;
        const { rows } = await pool.query<{ count: string }>(
          `SELECT count(*) FROM ${pg.escapeIdentifier(projection.table)}`,
        );
        return [
          projection.name,
          service,
          projection.table,
          stale ? `other ${stale}` : 'this code',
          number(Number(rows[0]!.count)),
          number(position),
          number(behind),
        ];
      } finally {
        await store.close();
        await pool.end();
      }
    }),
  );
  out.stdout.write(
    formatTable([['read model', 'service', 'table', 'built by', 'rows', 'position', 'behind by'], ...lines]),
  );
}

/** Left-aligned columns, except for the last three, which are numbers. */
function formatTable(lines: string[][]): string {
  const widths = lines[0]!.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  const cell = (text: string, i: number) => (i < 4 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!));
  return lines.map((line) => line.map(cell).join('  ') + '\n').join('');
}
