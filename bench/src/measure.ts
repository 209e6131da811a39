/**
 * Rounds, interleaved: each contender runs once in each round, in an order that turns from round to round, so that what
 * disturbs the machine for a while disturbs all of them. A goal's value is the median of the rounds' values, each made
 * of samples that were taken within seconds of each other.
 */
import { percentile } from './load.js';
import type { Bench, Goal, Opened, Row, Samples } from './row.js';

export interface Measured {
  readonly goal: Goal;
  /** The median of the rounds. */
  readonly value: number;
  /** One value for each round, in order. */
  readonly rounds: readonly number[];
  readonly met: boolean;
}

export interface MeasuredRow {
  readonly row: Row;
  readonly goals: readonly Measured[];
  readonly samples: readonly Samples[];
}

export async function measure(
  row: Row,
  bench: Bench,
  rounds: number,
  afterwards: (opened: Opened, measured: MeasuredRow) => Promise<void>,
): Promise<MeasuredRow> {
  const opened = await row.open(bench);
  try {
    const names = Object.keys(opened.contenders);
    for (const name of names) await opened.contenders[name]!(); // Warms up: plans, caches, compiled code.
    const samples: Samples[] = [];
    for (let round = 0; round < rounds; round++) {
      const sample: Record<string, Samples[string]> = {};
      for (let i = 0; i < names.length; i++) {
        const name = names[(i + round) % names.length]!;
        sample[name] = await opened.contenders[name]!();
      }
      samples.push(sample);
      bench.note(`${row.id} round ${round + 1} of ${rounds}: ${told(sample)}`);
    }
    const measured = { row, samples, goals: row.goals.map((goal) => judged(goal, samples)) };
    await afterwards(opened, measured);
    return measured;
  } finally {
    await opened.close();
  }
}

function judged(goal: Goal, samples: readonly Samples[]): Measured {
  const rounds = samples.map((sample) => goal.value(sample));
  const value = median(rounds);
  const met = (goal.atLeast === undefined || value >= goal.atLeast) && (goal.atMost === undefined || value <= goal.atMost);
  return { goal, value, rounds, met };
}

export function median(values: readonly number[]): number {
  return percentile(values.toSorted((a, b) => a - b), 0.5);
}

function told(sample: Samples): string {
  const figures = (of: Samples[string]) =>
    Object.entries(of).map(([name, value]) => `${name} ${value >= 100 ? Math.round(value) : value.toPrecision(3)}`);
  return Object.entries(sample)
    .map(([name, of]) => `${name} ${figures(of).join(', ')}`)
    .join('; ');
}
