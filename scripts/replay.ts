/**
 * `npm run replay -- order-summary` builds a read model anew from its service's events while the service stays open, and
 * says how many rows it had wrong. `npm run replay -- --list` says what there is and how far it is behind.
 */
import { join } from 'node:path';
import { projections as inventory } from '../apps/inventory/src/service.js';
import { shapes as inventoryShapes } from '../apps/inventory/src/shapes.js';
import { projections as order } from '../apps/order/src/service.js';
import { shapes as orderShapes } from '../apps/order/src/shapes.js';
import { projections as payment } from '../apps/payment/src/service.js';
import { shapes as paymentShapes } from '../apps/payment/src/shapes.js';
import { type EventStore, upcasting } from '#event-store';
import { type Projection, PostgresTables, rebuild, type RebuildProgress } from '#projections';
import { type Clock, postgresPool, silentLog, SystemClock } from '#runtime';
import { openEventStore } from '#service';
import pg from 'pg';
import { Advice } from './advice.js';
import { databaseUrl, serverIn } from './embedded-postgres.js';
import { dataFolder, services } from './shop.js';

export interface ReplayTarget {
  readonly service: string;
  readonly projection: Projection<any, any>;
  readonly databaseUrl: string;
  readonly openStore: () => Promise<EventStore>;
}

/** Where the answer goes, and the progress: `process` is one. */
export interface Output {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean };
}

export async function main(argv: readonly string[]): Promise<void> {
  process.exitCode = await replay(argv, await targetsOfTheShop(), process);
}

/** All read models: of the servers that the environment names (`ORDER_DATABASE_URL`, …), else of the shop that is open here. */
async function targetsOfTheShop(): Promise<ReplayTarget[]> {
  const read = {
    order: { projections: order, shapes: orderShapes },
    inventory: { projections: inventory, shapes: inventoryShapes },
    payment: { projections: payment, shapes: paymentShapes },
  };
  const server = await serverIn(join(dataFolder(), 'postgres'));
  return services.flatMap((service) => {
    const [database, store] = [`${service.toUpperCase()}_DATABASE_URL`, `${service.toUpperCase()}_EVENT_STORE_URL`];
    const url = process.env[database] ?? (server && databaseUrl(server.port, service));
    const storeUrl = process.env[store] ?? url;
    if (!url || !storeUrl) {
      throw new Advice(
        `The shop is closed: \`npm start\` opens it. For servers of your own, set ${database} and ${store}.`,
      );
    }
    const { projections, shapes } = read[service];
    const openStore = async () => upcasting(await openEventStore(storeUrl, new SystemClock()), shapes);
    return projections.map((projection) => ({ service, projection, databaseUrl: url, openStore }));
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
  const bar = progressBar(clock, out.stderr);
  try {
    const { rows, events, differing } = await rebuild({
      projection,
      store,
      pool,
      clock,
      log: { ...silentLog, info: (_, message) => bar.note(message) },
      onProgress: (progress) => bar.show(progress),
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

/** A bar that redraws itself on a terminal; elsewhere a line every five seconds. */
function progressBar(clock: Clock, stderr: Output['stderr']) {
  const startedMs = clock.now().getTime();
  let drawnMs = stderr.isTTY ? -Infinity : startedMs;
  let drawn = false;
  return {
    show({ events, position, target }: RebuildProgress): void {
      const nowMs = clock.now().getTime();
      if (nowMs - drawnMs < (stderr.isTTY ? 100 : 5_000)) return;
      drawnMs = nowMs;
      drawn = true;
      // Positions may have gaps, so a share of them says how far it is, and only events read say how fast.
      const share = Number(position) / Number(target);
      const seconds = Math.max(0.001, (nowMs - startedMs) / 1000);
      const left = Math.ceil(seconds / share - seconds);
      const text = `${Math.floor(share * 100)} %, ${count(events, 'event')}, ${number(Math.round(events / seconds))}/s, ${left} s left`;
      const full = Math.round(share * 30);
      stderr.write(stderr.isTTY ? `\r\x1b[K[${'█'.repeat(full)}${'·'.repeat(30 - full)}] ${text}` : `${text}\n`);
    },
    note(text: string): void {
      this.end();
      stderr.write(`${text}\n`);
    },
    /** Takes the bar away. */
    end(): void {
      if (drawn && stderr.isTTY) stderr.write('\r\x1b[K');
      drawn = false;
    },
  };
}

function count(n: number, noun: string): string {
  return `${number(n)} ${noun}${n === 1 ? '' : 's'}`;
}

function number(n: number | bigint): string {
  return n.toLocaleString('en-US');
}
