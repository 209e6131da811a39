/**
 * `npm run replay -- order-summary` builds a read model anew from its service's events while the service stays open, and
 * says how many rows it had wrong. A run that was ended, however it was, is gone on with by the next one.
 *
 *   --all          every read model, one after the other
 *   --compare      says which rows are wrong, and leaves them
 *   --rollback     goes back to the table before; once more, and forth again
 *   --until <…>    builds it as of a time or a position, in a table of its own
 *   --fresh        does not go on with what an earlier run has built
 *   --list         says what there is, and how far it is behind
 */
import { parseArgs } from 'node:util';
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
import { openEventStore } from '#service/adapters';
import pg from 'pg';
import { services, shop } from '../apps/shop.js';
import { databasesOfTheShop } from './lib/databases.js';
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

/** Characters of a value that are shown. */
const VALUE_LENGTH = 60;

/** npm passes on a Ctrl-C that the terminal has sent to us as well: within this time it is the same. */
const SAME_CTRL_C_MS = 500;

export async function main(argv: readonly string[]): Promise<void> {
  const stop = new AbortController();
  let stoppedMs = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      if (stop.signal.aborted && Date.now() - stoppedMs > SAME_CTRL_C_MS) process.exit(130);
      stoppedMs ||= Date.now();
      stop.abort();
    });
  }
  process.exitCode = await replay(argv, await targetsOfTheShop(), process, stop.signal);
}

async function targetsOfTheShop(): Promise<ReplayTarget[]> {
  const databases = await databasesOfTheShop();
  return services.flatMap((service) => {
    const { databaseUrl, storeUrl } = databases[service];
    const { projections, upcasters } = shop[service];
    const openStore = async () => withUpcasters(await openEventStore(storeUrl, new SystemClock()), upcasters);
    return projections.map((projection) => ({ service, projection, databaseUrl, openStore }));
  });
}

/**
 * Returns the exit code: 0; 1 for rows that differ, and for what could not be done; 2 for what cannot be followed, or
 * makes no sense as things are; 130 when `signal` ended it. Failures that nobody expects are thrown.
 */
export async function replay(
  argv: readonly string[],
  targets: readonly ReplayTarget[],
  out: Output,
  signal?: AbortSignal,
): Promise<number> {
  const request = requestOf(argv, targets);
  if (typeof request === 'string') {
    out.stderr.write(`${request}\n`);
    return 2;
  }
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
        out.stderr.write(`Stopped. ${whatIsKept(request)}\n`);
        return 130;
      }
      if (!(error instanceof RebuildFailed)) {
        out.stderr.write(`${target.projection.name} failed. ${whatIsKept(request)}\n`);
        throw error;
      }
      out.stderr.write(`${error.message}\n`);
      code = Math.max(code, error instanceof RebuildRefused ? 2 : 1);
    }
  }
  return code;
}

/** What the command line asks for, or what is wrong with it. */
function requestOf(argv: readonly string[], targets: readonly ReplayTarget[]): Request | string {
  const names = targets.map(({ projection }) => projection.name).join(', ');
  const usage = `Name one read model (${names}) or --all, and at most one of --compare, --rollback, --until <time or position>; or --list.`;
  const boolean = { type: 'boolean', default: false } as const;
  const options = { all: boolean, compare: boolean, rollback: boolean, fresh: boolean, list: boolean };
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: { ...options, until: { type: 'string' } },
    });
    const { all, compare, rollback, fresh, list, until } = values;
    if (list) return argv.length === 1 ? { targets, action: 'list', fresh } : `--list stands alone. ${usage}`;
    const [name, ...more] = positionals;
    const chosen = all ? targets : targets.filter(({ projection }) => projection.name === name);
    if (all ? name !== undefined : name === undefined || more.length > 0) return usage;
    if (chosen.length === 0) return `There is no read model ${name}. ${usage}`;
    if (Number(compare) + Number(rollback) + Number(until !== undefined) > 1) return usage;
    if (fresh && (rollback || until !== undefined)) return `--fresh goes with a rebuild or with --compare. ${usage}`;
    if (until === undefined) {
      return { targets: chosen, action: compare ? 'compare' : rollback ? 'rollback' : 'rebuild', fresh };
    }
    const moment = momentOf(until);
    if (moment === undefined) {
      return `"${until}" is no position, and no time like 2026-11-20T12:00Z that has passed. ${usage}`;
    }
    if (all && typeof moment === 'bigint') return 'A position is that of one event store: --all takes a time.';
    return { targets: chosen, action: { until: moment }, fresh };
  } catch (error) {
    return `${(error as Error).message.split('.')[0]}. ${usage}`;
  }
}

/** A position, or a time (ISO 8601, with its offset) that is not to come; undefined for anything else. */
function momentOf(text: string): Date | bigint | undefined {
  if (/^\d{1,19}$/.test(text)) return BigInt(text);
  const [, day, rest] =
    /^(\d{4}-\d{2}-\d{2})(T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2}))$/.exec(text) ?? [];
  const time = new Date(`${day}${rest}`);
  // JavaScript takes the 31st of a month with 30 days for the day after.
  const isDay = (of: Date) => !Number.isNaN(of.getTime()) && of.toISOString().startsWith(`${day}`);
  return isDay(new Date(`${day}T00:00Z`)) && time.getTime() <= Date.now() ? time : undefined;
}

function whatIsKept({ action }: Request): string {
  if (action === 'rollback') return 'The table is as it was.';
  const kept = 'What was built is kept, and the same command goes on with it';
  return typeof action === 'object' ? `${kept}.` : `${kept}; with --fresh it starts over.`;
}

async function replayOne(
  { projection, databaseUrl, openStore }: ReplayTarget,
  { action, fresh }: Request,
  out: Output,
  signal?: AbortSignal,
): Promise<number> {
  const { name } = projection;
  const clock = new SystemClock();
  const startedMs = clock.now().getTime();
  const pool = postgresPool(databaseUrl, { max: 2, name: 'larder-replay' });
  const store = await openStore();
  const bar = progressBar(clock, out.stderr, 'event');
  const options: RebuildOptions = {
    projection,
    store,
    pool,
    clock,
    log: { ...silentLog, info: (_, message) => bar.note(message) },
    ...(signal && { signal }),
    // Positions may have gaps, so a share of them says how far it is, and only events read say how fast.
    onProgress: ({ events, position, from, target }) =>
      bar.show({ share: Number(position) / Number(target), before: Number(from) / Number(target), done: events }),
  };
  const say = (...lines: string[]) => {
    bar.end();
    out.stdout.write(lines.map((line) => `${line}\n`).join(''));
  };
  const took = () => `in ${((clock.now().getTime() - startedMs) / 1000).toFixed(1)} s`;
  const made = (rows: number, events: number) =>
    `${name}: ${count(rows, 'row')} from ${count(events, 'event')} ${took()}`;
  const differ = (rows: number) => `${count(rows, 'row')} ${rows === 1 ? 'differs' : 'differ'} from`;
  try {
    if (action === 'compare') {
      const { rows, events, differing, position, differences } = await compareWithEvents({ ...options, fresh });
      const rest = differing - differences.length;
      say(
        `${made(rows, events)}; ${differ(differing)} the table at position ${number(position)}.`,
        ...differences.map((difference) => `  ${told(difference)}`),
        ...(rest > 0 ? [`  … and ${count(rest, 'row')} more.`] : []),
        ...(differing > 0 ? [`\`npm run replay -- ${name}\` puts what was built in its place.`] : []),
      );
      return differing > 0 ? 1 : 0;
    }
    if (action === 'rollback') {
      const { events, stale } = await rollBack(options);
      const other = stale ? " It was built by other code than today's." : '';
      say(
        `${name}: back to the table before, which had ${count(events, 'event')} to catch up with, ${took()}.${other}`,
        `\`npm run replay -- ${name} --rollback\` goes forth again.`,
      );
    } else if (typeof action === 'object') {
      const { table, rows, events, position } = await buildAsOf({ ...options, ...action });
      const place = `position ${number(position)}`;
      const moment = typeof action.until === 'bigint' ? place : `${action.until.toISOString()} (${place})`;
      const psql = `psql '${withoutPassword(databaseUrl)}' -c`;
      say(
        `${made(rows, events)}, as of ${moment}: ${table}.`,
        `  ${psql} 'SELECT * FROM ${table} LIMIT 10'`,
        `  ${psql} 'DROP TABLE ${table}'`,
      );
    } else {
      const { rows, events, differing, before } = await rebuild({ ...options, fresh });
      say(
        `${made(rows, events)}; ${differ(differing)} the table before.`,
        `\`npm run replay -- ${name} --rollback\` goes back to that; DROP TABLE ${before} frees its disk.`,
      );
    }
    return 0;
  } finally {
    bar.end();
    await store.close();
    await pool.end();
  }
}

/** `sku "bread": amount_minor 99 → 100`: as the table has it, and as its events give it. */
function told({ key, table, events, columns }: RowDifference): string {
  const row = Object.entries(key).map(([column, value]) => `${column} ${shown(value)}`);
  const what = !table
    ? 'is missing'
    : !events
      ? 'should not be there'
      : columns.map((column) => `${column} ${shown(table[column])} → ${shown(events[column])}`).join(', ');
  return `${row.join(', ')}: ${what}`;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > VALUE_LENGTH ? `${text.slice(0, VALUE_LENGTH - 1)}…` : text;
}

function withoutPassword(databaseUrl: string): string {
  const url = new URL(databaseUrl);
  url.password = '';
  return url.href;
}

async function list(targets: readonly ReplayTarget[], out: Output): Promise<void> {
  const lines = await Promise.all(
    targets.map(async ({ service, projection, databaseUrl, openStore }) => {
      const pool = postgresPool(databaseUrl, { max: 1, name: 'larder-replay' });
      const store = await openStore();
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
  out.stdout.write(table([['read model', 'service', 'table', 'built by', 'rows', 'position', 'behind by'], ...lines]));
}

/** Left-aligned columns, the last three of them, which are numbers, right-aligned. */
function table(lines: string[][]): string {
  const widths = lines[0]!.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  const cell = (text: string, i: number) => (i < 4 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!));
  return lines.map((line) => line.map(cell).join('  ') + '\n').join('');
}
