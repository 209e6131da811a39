/** P10, the services' half: what they keep resident, next to an empty Nest application on Fastify. */
import { execFileSync } from 'node:child_process';
import type { Row } from '../row.js';
import { httpLoad, longAtFirst, openBenchShop, openEmptyApplication } from '../shop.js';

const CLIENTS = 16;
const FINAL = { prefer: 'wait=30' };
const MINUTE_MS = 60_000;
const SOAK_MINUTES = Number(process.env['LARDER_BENCH_SOAK_MINUTES'] ?? 1);

export const row: Row = {
  id: 'P10b',
  name: 'Memory of a service after load',
  how: `**Larder**: the three services as \`npm start\` and the image start them, after checkouts for ${SOAK_MINUTES === 1 ? 'a minute' : `${SOAK_MINUTES} minutes`} (LARDER_BENCH_SOAK_MINUTES=60 for an hour) with ${CLIENTS} in flight, and for some seconds more before each look. **Empty**: an application of Nest on Fastify with one controller that answers with a constant, and nothing else, started by \`node\` without any setting; it has answered ${CLIENTS} connections for a minute. What counts is the resident set, with the program and the libraries that processes share, as \`ps\` shows it.`,
  goals: [
    {
      name: "resident memory of the largest service, of an empty application's",
      unit: '×',
      atMost: 1.3,
      value: ({ larder, empty }) => larder!['largestMb']! / empty!['mb']!,
    },
  ],
  async open(bench) {
    if (!(SOAK_MINUTES > 0)) throw new Error('LARDER_BENCH_SOAK_MINUTES is a number of minutes.');
    const soakMs = bench.quick ? 3_000 : SOAK_MINUTES * MINUTE_MS;
    // The empty one remembers nothing: more than a minute would only take as long again.
    const [shopMs, emptyMs] = [longAtFirst(soakMs, 3_000), longAtFirst(Math.min(soakMs, MINUTE_MS), 3_000)];
    const shop = await openBenchShop(bench);
    const empty = await openEmptyApplication();
    return {
      contenders: {
        async larder() {
          await shop.placeOrders(CLIENTS, shopMs(), FINAL);
          await shop.settled();
          const mb = [...shop.shop.pids].map(
            ([name, pid]) => [`${name.replace(/ 1$/, '')}Mb`, residentMb(pid)] as const,
          );
          return { ...Object.fromEntries(mb), largestMb: Math.max(...mb.map(([, size]) => size)) };
        },
        async empty() {
          await httpLoad(empty.url, CLIENTS, emptyMs());
          return { mb: residentMb(empty.pid) };
        },
      },
      async close() {
        await empty.close();
        await shop.close();
      },
    };
  },
};

/** Megabytes of 1,000,000 bytes; `ps` counts in 1,024. */
function residentMb(pid: number): number {
  return (Number(execFileSync('ps', ['-o', 'rss=', '-p', `${pid}`], { encoding: 'utf8' })) * 1_024) / 1_000_000;
}
