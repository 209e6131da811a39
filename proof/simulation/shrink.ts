/**
 * Makes a failure small: leaves out what it does not need, as long as the same rule stays broken.
 *
 * Source: Zeller, Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE Transactions on Software
 * Engineering 28 (2002): the `ddmin` algorithm.
 */
import type { World } from './world.js';

export interface Shrunk {
  /** The numbers of the items that are left. */
  readonly only: readonly number[];
  /** How many worlds were tried. */
  readonly tried: number;
}

/**
 * `run` runs the world with these items alone. At most `most` worlds are tried, so that it ends in time and gives the
 * same result on every machine.
 */
export async function shrink(
  failed: World,
  run: (only: readonly number[]) => Promise<World>,
  most = 300,
): Promise<Shrunk> {
  const rule = failed.violations[0]!.rule;
  let only: readonly number[] = failed.plan.items.map(({ n }) => n);
  let tried = 0;
  const stillFails = async (items: readonly number[]) => {
    tried++;
    return (await run(items)).violations.some((violation) => violation.rule === rule);
  };

  for (let parts = 2; only.length > 0 && parts <= only.length * 2;) {
    const size = Math.ceil(only.length / parts);
    let without: readonly number[] | undefined;
    for (let from = 0; from < only.length && tried < most; from += size) {
      const rest = [...only.slice(0, from), ...only.slice(from + size)];
      if (!(await stillFails(rest))) continue;
      without = rest;
      break;
    }
    if (tried >= most && !without) break;
    if (without) {
      only = without;
      parts = Math.max(2, parts - 1);
    } else if (size === 1) break;
    else parts = Math.min(parts * 2, only.length);
  }
  return { only, tried };
}
