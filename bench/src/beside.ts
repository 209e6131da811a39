/** One shop beside another that differs in one thing: both are open, and do the same checkouts in turn. */
import { load } from './load.js';
import type { Bench, Goal, Opened } from './row.js';
import { type BenchShop, longAtFirst } from './shop.js';

export const FEW = 16;
const MANY = 64;

/** How they are loaded, as a sentence for docs/performance.md. */
export const HOW_BESIDE = `Both shops are open and warm, and are loaded in turn, by ${FEW} customers, by ${MANY}, and by one alone, each of whom orders again when the last order is completed; the one whose turn it is not rests, which takes a few hundredths of a core.`;

/** Contenders `<name>`, `<name>Many` and `<name>Lone` of each shop. */
export function besides(bench: Bench, shops: Readonly<Record<string, BenchShop>>): Opened['contenders'] {
  const ms = bench.quick ? 2_000 : 4_000;
  return Object.fromEntries(
    Object.entries(shops).flatMap(([name, shop]) => {
      const nextMs = longAtFirst(bench.quick ? 2_000 : 15_000, ms);
      // Those that are in flight when the time is over are waited for, so that a slower shop loses nothing by it.
      const loaded = async (customers: number) => {
        const sample = await load(customers, nextMs(), shop.checkOut);
        return { ...sample, behindMs: await shop.settled() };
      };
      return [
        [name, () => loaded(FEW)],
        [`${name}Many`, () => loaded(MANY)],
        [`${name}Lone`, () => loaded(1)],
      ];
    }),
  );
}

/** Goals about the shop `name`: what it has to reach of what the shop `other` does. */
export function goalsBeside(
  [name, other]: readonly [string, string],
  least: { readonly few: number; readonly many: number; readonly lone: number },
): Goal[] {
  return [
    {
      name: `checkouts per second, ${FEW} in flight`,
      unit: '×',
      atLeast: least.few,
      value: (samples) => samples[name]!['rate']! / samples[other]!['rate']!,
    },
    {
      name: `checkouts per second, ${MANY} in flight`,
      unit: '×',
      atLeast: least.many,
      value: (samples) => samples[`${name}Many`]!['rate']! / samples[`${other}Many`]!['rate']!,
    },
    {
      name: 'p50 of a checkout alone',
      unit: '×',
      atMost: least.lone,
      value: (samples) => samples[`${name}Lone`]!['p50Ms']! / samples[`${other}Lone`]!['p50Ms']!,
    },
  ];
}
