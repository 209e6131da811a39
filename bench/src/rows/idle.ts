/** P18: what a shop takes that has nothing to do. */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { openCountedShop, type Statement, statementShares } from '../counts.js';
import { parentOf, ticks, ticksOfServer, TICKS_PER_SECOND } from '../processor.js';
import type { Row } from '../row.js';

const SECONDS = 10;

export const row: Row = {
  id: 'P18',
  name: 'An idle shop',
  how: `The three services as they are run, with everything in one Postgres, which have completed some orders and now have nothing to do for ${SECONDS} s a round: no requests, no probes. Processor time is that of the services and of all processes of Postgres, in percent of one core; the operating system counts it in hundredths of a second. Statements are those of the services in the log of the server.`,
  goals: [
    {
      name: 'processor time of services and Postgres, of one core',
      unit: '%',
      atMost: 2,
      value: ({ larder }) => larder!['processor']!,
    },
    { name: 'statements per second', unit: 'pieces', atMost: 10, value: ({ larder }) => larder!['statements']! },
  ],
  async open(bench) {
    if (!existsSync('/proc/self/stat')) throw new Error('Processor time is read from /proc, which only Linux has.');
    const seconds = bench.quick ? 2 : SECONDS;
    const shop = await openCountedShop(bench);
    const { pids } = shop.shop.shop;
    const postgres = await processOf(bench.serverUrl);
    const taken = () => {
      const services = [...pids].map(([name, pid]) => [name.replace(/ 1$/, ''), ticks(pid)] as const);
      return new Map([...services, ['postgres', ticksOfServer(postgres)]]);
    };
    let last: readonly Statement[] = [];
    return {
      contenders: {
        async larder() {
          const before = taken();
          const begin = performance.now();
          last = await shop.statements(() => sleep(seconds * 1_000));
          const passed = (performance.now() - begin) / 1_000;
          const percent = [...taken()].map(
            ([name, now]) => [name, (100 * (now - before.get(name)!)) / TICKS_PER_SECOND / passed] as const,
          );
          const processor = percent.reduce((sum, [, each]) => sum + each, 0);
          return { processor, ...Object.fromEntries(percent), statements: last.length / passed };
        },
      },
      profile: async () => ({ 'its statements': statementShares(last) }),
      close: shop.close,
    };
  },
};

/** The process that has started all others of a server. */
async function processOf(url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    return parentOf(rows[0]!.pid);
  } finally {
    await client.end();
  }
}
