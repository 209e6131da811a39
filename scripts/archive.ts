/**
 * `npm run archive -- --older-than 90d` moves old events of the shop's Postgres event stores out of the way of new ones.
 * Everything that reads events still sees them. The shop may be open.
 */
import { archive } from '#event-store/postgres';
import { postgresPool } from '#runtime/postgres';
import { isUnavailable, ServerRefusal, SystemClock } from '#runtime';
import { databasesOfTheShop, eventsAdvice, isPostgres } from './lib/databases.js';
import { count, type Output, progressBar } from './lib/progress-bar.js';
import { services } from '../apps/shop.js';

export const usage = 'npm run archive -- --older-than 90d (the age in days of the events to archive).';

const DAY_MS = 24 * 3_600_000;

export async function main(argv: readonly string[]): Promise<void> {
  process.exitCode = await run(argv, process);
}

/** Returns the exit code: 0, or 2 for a wrong command line. Failures are thrown. */
async function run(argv: readonly string[], out: Output): Promise<number> {
  const days = /^(\d{1,5})d$/.exec(argv[1] ?? '')?.[1];
  if (argv.length !== 2 || argv[0] !== '--older-than' || days === undefined) {
    out.stderr.write(`Usage: ${usage}\n`);
    return 2;
  }
  const clock = new SystemClock();
  const before = new Date(clock.now().getTime() - Number(days) * DAY_MS);
  const databases = await databasesOfTheShop();
  for (const service of services) {
    const { storeUrl } = databases[service];
    if (!isPostgres(storeUrl)) {
      out.stdout.write(`${service}: skipped: its event store is not Postgres. Use that server's own means.\n`);
      continue;
    }
    const pool = postgresPool(storeUrl, { max: 1, name: 'larder-archive', answerMs: 0 });
    const bar = progressBar(clock, out.stderr, 'event');
    try {
      const onProgress = (progress: { share: number; done: number }) => bar.show(progress);
      const moved = await archive(pool, before, onProgress).catch((error: unknown) => {
        throw isUnavailable(error) || error instanceof ServerRefusal ? eventsAdvice(service, error) : error;
      });
      bar.end();
      out.stdout.write(`${service}: ${count(moved, 'event')} archived.\n`);
    } finally {
      bar.end();
      await pool.end();
    }
  }
  return 0;
}
