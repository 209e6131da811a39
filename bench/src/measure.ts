/**
 * Rounds, interleaved: each contender runs once in each round, in an order that turns from round to round, so that what
 * disturbs the machine for a while disturbs all of them. A goal's value is the median of the rounds' values, each made
 * of samples that were taken within seconds of each other.
 */
import { percentile } from './load.js';
import { type Profile, profile } from './profile.js';
import type { Bench, Goal, Opened, Row, Sample, Samples } from './row.js';

export interface Measured {
  readonly goal: Goal;
  /** The median of the rounds. */
  readonly value: number;
  /** One value for each round, in order. */
  readonly rounds: readonly number[];
  readonly met: boolean;
}

export interface MeasuredRow {
  readonly goals: readonly Measured[];
  readonly samples: readonly Samples[];
  /** Of each contender that missed a goal. */
  readonly profiles: Readonly<Record<string, Profile>>;
}

/** Opens the row, warms up, measures `rounds` times, and closes it. @throws what the row throws */
export async function measure(row: Row, bench: Bench, rounds: number): Promise<MeasuredRow> {
  const opened = await row.open(bench);
  try {
    const names = Object.keys(opened.contenders);
    const inTurn = async (round: number) => {
      const sample: Record<string, Sample> = {};
      for (let i = 0; i < names.length; i++) {
        bench.signal.throwIfAborted();
        const name = names[(i + round) % names.length]!;
        sample[name] = await opened.contenders[name]!();
      }
      return sample;
    };
    await inTurn(0); // Warms up: plans, caches, compiled code.
    const samples: Samples[] = [];
    for (let round = 0; round < rounds; round++) {
      const sample = opened.together ? await opened.together() : await inTurn(round);
      samples.push(sample);
      bench.note(`${row.id} round ${round + 1} of ${rounds}: ${describe(sample)}`);
    }
    const goals = row.goals.map((goal) => judged(goal, samples));
    const missed = goals.filter(({ met }) => !met).map(({ goal }) => goal.profiled ?? 'larder');
    return { goals, samples, profiles: await profiles(opened, new Set(missed), bench) };
  } finally {
    await opened.close();
  }
}

/**
 * The value of a goal over all rounds. What is counted in pieces has to be right in every round, so one that is wrong
 * is the value. NaN, which a row gives for what it could not measure, meets no goal.
 */
export function judged(goal: Goal, samples: readonly Samples[]): Measured {
  const meets = (value: number) => value >= (goal.atLeast ?? -Infinity) && value <= (goal.atMost ?? Infinity);
  const rounds = samples.map((sample) => goal.value(sample));
  const wrong = goal.unit === 'pieces' ? rounds.find((value) => !meets(value)) : undefined;
  const value = wrong ?? median(rounds);
  return { goal, value, rounds, met: meets(value) };
}

export function median(values: readonly number[]): number {
  return percentile(
    values.toSorted((a, b) => a - b),
    0.5,
  );
}

/** Each of these contenders does its work once more, watched. What that measures does not count: watching costs. */
async function profiles(
  opened: Opened,
  contenders: ReadonlySet<string>,
  bench: Bench,
): Promise<Record<string, Profile>> {
  if (contenders.size === 0) return {};
  if (opened.profile) return { larder: await opened.profile() };
  const taken: Record<string, Profile> = {};
  for (const name of contenders) {
    const work = opened.contenders[name];
    if (work) taken[name] = await profile(bench.serverUrl, work);
  }
  return taken;
}

function describe(sample: Samples): string {
  const figures = (of: Sample) =>
    Object.entries(of).map(([name, value]) => `${name} ${value >= 100 ? Math.round(value) : value.toPrecision(3)}`);
  return Object.entries(sample)
    .map(([name, of]) => `${name} ${figures(of).join(', ')}`)
    .join('; ');
}
