/** P10, the services' half: what they keep resident, next to an empty Nest application on Fastify. */
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Row } from '../row.js';
import { FINAL, httpLoad, longAtFirst, openBenchShop, openEmptyApplication } from '../shop.js';

const CLIENTS = 16;
const MINUTE_MS = 60_000;
/** How long a round loads, and the time between two looks. */
const ROUND_MS = 4_000;
const LOOK_MS = 500;
const SOAK_MINUTES = Number(process.env['LARDER_BENCH_SOAK_MINUTES'] ?? 1);

export const row: Row = {
  id: 'P10b',
  name: 'Memory of a service under load',
  how: `The resident sets while the load lasts, looked at every ${LOOK_MS / 1_000} s: the highest look of a round counts, because V8 gives memory back as soon as there is less to do. **Larder**: the three services as \`npm start\` and the image start them, which complete checkouts with ${CLIENTS} in flight; they have done so for ${SOAK_MINUTES === 1 ? 'a minute' : `${SOAK_MINUTES} minutes`} before the first round (LARDER_BENCH_SOAK_MINUTES=60 for an hour). **Empty**: an application of Nest on Fastify with one controller that answers with a constant, and nothing else, started by \`node\` without any setting; it answers ${CLIENTS} connections, and has done so for a minute. A resident set includes the program and the libraries that processes share, as \`ps\` shows it.`,
  goals: [
    {
      name: "resident memory of the largest service, of an empty application's",
      unit: '×',
      atMost: 1.5,
      value: ({ larder, empty }) => larder!['largestMb']! / empty!['mb']!,
    },
  ],
  async open(bench) {
    if (!(SOAK_MINUTES > 0)) throw new Error('LARDER_BENCH_SOAK_MINUTES is a number of minutes.');
    const soakMs = bench.quick ? 3_000 : SOAK_MINUTES * MINUTE_MS;
    // The empty one remembers nothing: more than a minute would only take as long again.
    const [shopMs, emptyMs] = [longAtFirst(soakMs, ROUND_MS), longAtFirst(Math.min(soakMs, MINUTE_MS), ROUND_MS)];
    const shop = await openBenchShop(bench);
    const empty = await openEmptyApplication();
    return {
      contenders: {
        async larder() {
          const pids = [...shop.shop.pids.values()];
          const mb = await highestMb(pids, () => shop.placeOrders(CLIENTS, shopMs(), FINAL));
          await shop.settled();
          const names = [...shop.shop.pids.keys()].map((name) => `${name.replace(/ 1$/, '')}Mb`);
          return { ...Object.fromEntries(names.map((name, i) => [name, mb[i]!])), largestMb: Math.max(...mb) };
        },
        async empty() {
          const [mb] = await highestMb([empty.pid], () => httpLoad(empty.url, CLIENTS, emptyMs()));
          return { mb: mb! };
        },
      },
      async close() {
        await empty.close();
        await shop.close();
      },
    };
  },
};

/** The largest resident set of each process, of those seen while `work` is done. */
async function highestMb(pids: readonly number[], work: () => Promise<unknown>): Promise<number[]> {
  let highest = await residentMb(pids);
  let done = false;
  const watch = async () => {
    while (!done) {
      await sleep(LOOK_MS);
      const now = await residentMb(pids);
      highest = highest.map((mb, i) => Math.max(mb, now[i]!));
    }
  };
  await Promise.all([work().finally(() => (done = true)), watch()]);
  return highest;
}

/** Megabytes of 1,000,000 bytes; `ps` counts in 1,024. */
async function residentMb(pids: readonly number[]): Promise<number[]> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'pid=,rss=', '-p', pids.join()]);
  const rows = stdout
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number));
  const byPid = new Map(rows.map(([pid, rss]) => [pid!, rss!]));
  return pids.map((pid) => ((byPid.get(pid) ?? NaN) * 1_024) / 1_000_000);
}
