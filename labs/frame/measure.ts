/** All that one lab finds out: its figures round by round, its kills, and its own tables. `labs/results.json` keeps it. */
import { openBooks } from './books.js';
import { judgeAll } from './judge.js';
import { type Killed, killAt, killsOf } from './kills.js';
import { load, type Measured, quantile, seenBetween } from './load.js';
import type { Databases, Lab, Table, Way } from './way.js';

/** What a way leaves behind when it is killed at each of its steps. */
export interface Kills {
  readonly kills: readonly Killed[];
  /** Orders that are broken after recovery. */
  readonly broken: number;
}

export interface WayResult extends Kills {
  readonly name: string;
  readonly wrong?: string | undefined;
  readonly rounds: readonly Measured[];
  readonly seen: readonly string[];
}

export interface LabResult {
  readonly name: string;
  readonly ways: readonly WayResult[];
  readonly tables: readonly Table[];
}

export async function killAll(lab: Lab, way: Way, databases: Databases): Promise<Kills> {
  await openBooks(databases);
  const kills: Killed[] = [];
  for (const [i, kill] of killsOf(way).entries()) kills.push(await killAt(lab, way, databases, kill, i + 1));
  return { kills, broken: (await judgeAll(databases)).broken };
}

/** One round of every way, in turn: so what disturbs the machine disturbs them alike. */
export async function measureRound(lab: Lab, databases: Databases, orders: number, seed: number): Promise<Measured[]> {
  const measured: Measured[] = [];
  for (const way of lab.ways) measured.push(await load(way, databases, orders, seed));
  return measured;
}

/** All but the rounds: what is certain, and comes out the same each time. */
export async function investigate(lab: Lab, databases: Databases, times: number): Promise<Omit<LabResult, 'name'>> {
  const ways: WayResult[] = [];
  for (const way of lab.ways) {
    const { name, wrong } = way;
    const seen = await seenBetween(way, databases);
    ways.push({ name, wrong, rounds: [], seen, ...(await killAll(lab, way, databases)) });
  }
  return { ways, tables: await lab.tables(databases, times) };
}

/** Orders that a way has broken under load, at its worst, and under kills. */
export const brokenBy = ({ rounds, broken }: WayResult): number =>
  broken + Math.max(0, ...rounds.map(({ verdict }) => verdict.broken));

/** What does not come out as the lab says: a wrong way that breaks nothing, or a right one that does. */
export function surprises(ways: readonly WayResult[]): string[] {
  return ways.flatMap((way) => {
    const broken = brokenBy(way);
    if (way.wrong !== undefined && broken === 0) return [`“${way.name}” should be wrong, and broke no order.`];
    if (way.wrong === undefined && broken > 0) return [`“${way.name}” broke ${broken} orders.`];
    return [];
  });
}

/** The median over the rounds, and how far they are apart. */
export function over(rounds: readonly Measured[], of: (round: Measured) => number) {
  const values = rounds.map(of);
  return { median: quantile(values, 0.5), least: Math.min(...values), most: Math.max(...values) };
}
