/** What a run found, as bench/results.json keeps it: one entry for each goal, and for each row what is behind it. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import type { MeasuredRow } from './measure.js';
import type { Profile } from './profile.js';
import type { Goal, Row, Samples } from './row.js';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly os: string;
  readonly node: string;
}

/** A goal of a row, measured. */
export interface Result extends Pick<Goal, 'unit' | 'atLeast' | 'atMost'> {
  /** The row's: several goals share one. */
  readonly id: string;
  /** The row's name and the goal's. */
  readonly name: string;
  readonly compared: string;
  /** In words: `≥ 5 ×`. */
  readonly goal: string;
  /** The median of the rounds; null where the row failed. */
  readonly value: number | null;
  readonly rounds: readonly number[];
  readonly met: boolean;
  readonly machine: Machine;
}

/** What is behind the goals of a row. */
export interface RowDetails {
  readonly name: string;
  readonly how: string;
  /** ISO 8601, UTC: rows may have been measured in different runs. */
  readonly measuredAt: string;
  /** The day and time of the commit that was measured, and whether files were changed since; absent outside a checkout. */
  readonly commit?: { readonly date: string; readonly changed: boolean };
  /** Of Postgres, and of each package that was measured. */
  readonly versions: Readonly<Record<string, string>>;
  readonly samples: readonly Samples[];
  /** By contender that missed a goal. */
  readonly profiles: Readonly<Record<string, Profile>>;
  /** Why there is nothing to see, where the row failed. */
  readonly failure?: string;
}

export interface Results {
  readonly rows: readonly Result[];
  readonly details: Readonly<Record<string, RowDetails>>;
}

const FILE = fileURLToPath(new URL('../results.json', import.meta.url));
const PACKAGES = [
  '@dbos-inc/dbos-sdk',
  '@event-driven-io/emmett',
  '@event-driven-io/emmett-postgresql',
  '@event-driven-io/pongo',
  '@kurrent/kurrentdb-client',
  '@nestjs/core',
  '@prisma/client',
  '@restatedev/restate-sdk',
  `@restatedev/restate-server-${process.platform}-${process.arch}`,
  'autocannon',
  'fastify',
  'kafkajs',
  'pg',
];

/** A row that was measured, or that failed with an error. */
export function resultsOf(row: Row, outcome: MeasuredRow | Error, postgresVersion: string): Results {
  const failed = outcome instanceof Error;
  const rows = row.goals.map((goal, i) => {
    const measured = failed ? { value: null, rounds: [], met: false } : outcome.goals[i]!;
    const { unit, atLeast, atMost } = goal;
    return {
      id: row.id,
      name: row.name,
      compared: goal.name,
      goal: goalInWords(goal),
      atLeast,
      atMost,
      // JSON has no NaN.
      value: Number.isFinite(measured.value) ? measured.value : null,
      unit,
      rounds: measured.rounds,
      met: measured.met,
      machine: machine(),
    };
  });
  const details: RowDetails = {
    name: row.name,
    how: row.how,
    measuredAt: new Date().toISOString(),
    commit: commit(),
    versions: { postgres: postgresVersion, ...packageVersions() },
    samples: failed ? [] : outcome.samples,
    profiles: failed ? {} : outcome.profiles,
    ...(failed ? { failure: outcome.message } : {}),
  };
  return { rows, details: { [row.id]: details } };
}

/** These results, and of the earlier ones those of other rows; in the table's order. */
export function merged(earlier: Results, later: Results): Results {
  const kept = earlier.rows.filter(({ id }) => !(id in later.details));
  const details = { ...earlier.details, ...later.details };
  const ids = Object.keys(details).toSorted(byId);
  return {
    rows: [...kept, ...later.rows].toSorted((a, b) => byId(a.id, b.id)),
    details: Object.fromEntries(ids.map((id) => [id, details[id]!])),
  };
}

/** P2 before P10. */
export function byId(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

/** What was measured before; nothing, when nothing was. */
export function readResults(): Results {
  return existsSync(FILE) ? JSON.parse(readFileSync(FILE, 'utf8')) : { rows: [], details: {} };
}

export async function writeResults(results: Results): Promise<void> {
  await writeFormatted(FILE, JSON.stringify(results));
}

/** Writes a file as `npm run check` wants it. */
export async function writeFormatted(path: string, text: string): Promise<void> {
  writeFileSync(path, await format(text, { ...(await resolveConfig(path)), filepath: path }));
}

/** `≥ 5 ×`, or `= 500` where it has to be exactly that. */
export function goalInWords({ atLeast, atMost, unit }: Pick<Goal, 'atLeast' | 'atMost' | 'unit'>): string {
  const bounds = [
    ...(atLeast === undefined ? [] : [`≥ ${figure(atLeast, unit)}`]),
    ...(atMost === undefined ? [] : [`≤ ${figure(atMost, unit)}`]),
  ];
  return atLeast === atMost && atLeast !== undefined ? `= ${figure(atLeast, unit)}` : bounds.join(', ');
}

/** A figure as people read it: three digits, and its unit. */
export function figure(value: number | null, unit: Goal['unit'] | '' = ''): string {
  if (value === null || !Number.isFinite(value)) return '–';
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  const text = value.toLocaleString('en', { maximumFractionDigits: digits });
  return unit === '' || unit === 'pieces' ? text : `${text} ${unit}`;
}

/** `4.6–9.5 ×`: what the rounds found, from the lowest to the highest. */
export function spread({ rounds, unit }: Pick<Result, 'rounds' | 'unit'>): string {
  if (rounds.length === 0) return '–';
  return `${figure(Math.min(...rounds))}–${figure(Math.max(...rounds), unit)}`;
}

let thisMachine: Machine | undefined;

function machine(): Machine {
  thisMachine ??= {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    os: `${type()} ${release()}`,
    node: process.versions.node,
  };
  return thisMachine;
}

function packageVersions(): Record<string, string> {
  return Object.fromEntries(
    PACKAGES.flatMap((name) => {
      const found = ['../node_modules', '../../node_modules']
        .map((folder) => new URL(`${folder}/${name}/package.json`, import.meta.url))
        .find((path) => existsSync(path));
      return found ? [[name, (JSON.parse(readFileSync(found, 'utf8')) as { version: string }).version]] : [];
    }),
  );
}

function commit(): RowDetails['commit'] {
  const git = (...args: string[]) => {
    const cwd = fileURLToPath(new URL('../..', import.meta.url));
    return execFileSync('git', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  };
  try {
    // What the bench itself writes does not make its results those of changed files.
    const written = [':!bench/results.json', ':!docs/performance.*'];
    return {
      date: git('log', '-1', '--format=%cI'),
      changed: git('status', '--porcelain', '--', '.', ...written) !== '',
    };
  } catch {
    return undefined;
  }
}
