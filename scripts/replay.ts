/**
 * `npm run replay -- order-summary` builds a read model anew from its service's events while the service stays open, and
 * says how many rows it had wrong. `npm run replay -- --list` says what there is and how far it is behind.
 */
import { type EventStore, upcasting } from '#event-store';
import { type Projection, PostgresTables, rebuild } from '#projections';
import { postgresPool, silentLog, SystemClock } from '#runtime';
import { openEventStore } from '#service';
import pg from 'pg';
import { databasesOfTheShop, readModels } from './databases.js';
import { count, number, type Output, progressBar } from './progress-bar.js';
import { services } from './shop.js';

export interface ReplayTarget {
  readonly service: string;
  readonly projection: Projection<any, any>;
  readonly databaseUrl: string;
  readonly openStore: () => Promise<EventStore>;
}

export async function main(argv: readonly string[]): Promise<void> {
  process.exitCode = await replay(argv, await targetsOfTheShop(), process);
}

async function targetsOfTheShop(): Promise<ReplayTarget[]> {
  const databases = await databasesOfTheShop();
  return services.flatMap((service) => {
    const { databaseUrl, storeUrl } = databases[service];
    const { projections, shapes } = readModels[service];
    const openStore = async () => upcasting(await openEventStore(storeUrl, new SystemClock()), shapes);
    return projections.map((projection) => ({ service, projection, databaseUrl, openStore }));
  });
}

/** Returns the exit code: 0, or 2 for a command line that cannot be followed. Failures are thrown. */
export async function replay(argv: readonly string[], targets: readonly ReplayTarget[], out: Output): Promise<number> {
  if (argv.length === 1 && argv[0] === '--list') {
    await list(targets, out);
    return 0;
  }
  const target = targets.find(({ projection }) => projection.name === argv[0]);
  if (target === undefined || argv.length !== 1) {
    const names = targets.map(({ projection }) => projection.name).join(', ');
    out.stderr.write(`Name one read model to replay: ${names}; or --list.\n`);
    return 2;
  }
  await replayOne(target, out);
  return 0;
}

async function replayOne({ projection, databaseUrl, openStore }: ReplayTarget, out: Output): Promise<void> {
  const clock = new SystemClock();
  const startedMs = clock.now().getTime();
  const pool = postgresPool(databaseUrl, { max: 2, name: 'larder-replay' });
  const store = await openStore();
  const bar = progressBar(clock, out.stderr, 'event');
  try {
    const { rows, events, differing } = await rebuild({
      projection,
      store,
      pool,
      clock,
      log: { ...silentLog, info: (_, message) => bar.note(message) },
      // Positions may have gaps, so a share of them says how far it is, and only events read say how fast.
      onProgress: ({ events, position, target }) =>
        bar.show({ share: Number(position) / Number(target), done: events }),
    });
    const seconds = ((clock.now().getTime() - startedMs) / 1000).toFixed(1);
    bar.end();
    out.stdout.write(
      `${projection.name}: ${count(rows, 'row')} from ${count(events, 'event')} in ${seconds} s; ` +
        `${count(differing, 'row')} ${differing === 1 ? 'differs' : 'differ'} from the table before.\n`,
    );
  } finally {
    bar.end();
    await store.close();
    await pool.end();
  }
}

async function list(targets: readonly ReplayTarget[], out: Output): Promise<void> {
  const lines = await Promise.all(
    targets.map(async ({ service, projection, databaseUrl, openStore }) => {
      const pool = postgresPool(databaseUrl, { max: 1, name: 'larder-replay' });
      const store = await openStore();
      try {
        const position = await new PostgresTables(pool).checkpoint(projection);
        const behind = (await store.head()) - position;
        const { rows } = await pool.query<{ count: string }>(
          `SELECT count(*) FROM ${pg.escapeIdentifier(projection.table)}`,
        );
        return [
          projection.name,
          service,
          projection.table,
          number(Number(rows[0]!.count)),
          number(position),
          number(behind),
        ];
      } finally {
        await store.close();
        await pool.end();
      }
    }),
  );
  out.stdout.write(table([['read model', 'service', 'table', 'rows', 'position', 'behind by'], ...lines]));
}

/** Left-aligned columns, the last three of them, which are numbers, right-aligned. */
function table(lines: string[][]): string {
  const widths = lines[0]!.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  const cell = (text: string, i: number) => (i < 3 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!));
  return lines.map((line) => line.map(cell).join('  ') + '\n').join('');
}
