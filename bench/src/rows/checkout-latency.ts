/** P14: what a single customer waits for, in commits. */
import { load, summary, timed } from '../load.js';
import { openBareEvents } from '../peers.js';
import type { Row } from '../row.js';
import { placedOrder } from '../samples.js';
import { longAtFirst, openBenchShop } from '../shop.js';

/** Of a turn: so many of each side. */
const CHECKOUTS = 10;
const COMMITS = 100;

export const row: Row = {
  id: 'P14',
  name: 'A checkout alone, from POST to the final answer',
  how: `One customer, who orders one line, waits until the order is completed, and orders again. **Larder**: the three services as they are run, a process each, over HTTP; the messages go over Postgres. **Bare commit**: one connection and a prepared \`INSERT\` of one event into a table of events, in a transaction of its own, as in P2. The sides take turns within a round: ${CHECKOUTS} checkouts, then, when the shop has caught up with them and rests, ${COMMITS} commits. A checkout goes over some ten messages and over the webhooks of the simulated provider.`,
  goals: [
    {
      name: "p50 of a checkout, of a bare commit's",
      unit: '×',
      atMost: 30,
      value: ({ larder, bare }) => larder!['p50Ms']! / bare!['p50Ms']!,
    },
  ],
  async open(bench) {
    const turns = bench.quick ? 2 : 6;
    const ms = bench.quick ? 300 : 3_000;
    const larderMs = longAtFirst(bench.quick ? 1_000 : 10_000, ms);
    const shop = await openBenchShop(bench);
    const bare = await openBareEvents(await bench.database(), 1);
    const commit = () => {
      const { stream, event } = placedOrder();
      return bare.insert(stream, event);
    };
    return {
      contenders: {
        larder: () => load(1, larderMs(), shop.checkOut),
        bare: () => load(1, ms, commit),
      },
      async together() {
        const [larder, commits]: [number[], number[]] = [[], []];
        for (let turn = 0; turn < turns; turn++) {
          larder.push(...(await timed(CHECKOUTS, shop.checkOut)));
          await shop.settled();
          commits.push(...(await timed(COMMITS, commit)));
        }
        return { larder: summary(larder), bare: summary(commits) };
      },
      profile: () => shop.profiled(() => load(1, ms, shop.checkOut)),
      async close() {
        await shop.close();
        await bare.close();
      },
    };
  },
};
