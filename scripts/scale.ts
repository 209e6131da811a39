/**
 * `npm run scale -- --orders-per-day 10000 --years 5` estimates what a shop of that size needs: disk, memory,
 * appends per second, the time of a rebuild. docs/scale.md explains it, and a spec compares it with real orders.
 */
import { positiveNumber, readCommandLine } from './lib/command-line.js';
import { number, type Output } from './lib/progress-bar.js';
import { type Service, services } from '../apps/shop.js';

/** Events of one kind: the sizes of their stream names, data and metadata, and how many of them a completed order has. */
interface Kind {
  readonly streamBytes: number;
  readonly dataBytes: number;
  /** Default: METADATA_BYTES, and MESSAGE_BYTES. */
  readonly metadataBytes?: number;
  readonly count: number;
}

/** The events of a completed order in each store. `lines` is the number of its lines, with short names and prices. */
const kinds = (lines: number): Partial<Record<Service, readonly Kind[]>> => ({
  order: [
    { streamBytes: 42, dataBytes: 566 + 80 * lines, metadataBytes: METADATA_BYTES + ACTOR_BYTES, count: 1 }, // placed
    { streamBytes: 42, dataBytes: 54, metadataBytes: METADATA_BYTES + ACTOR_BYTES, count: 1 }, // quota taken
    { streamBytes: 42, dataBytes: 77 + SEAL_BYTES + CUSTOMER_BYTES, count: 1 }, // stock reserved
    { streamBytes: 42, dataBytes: 2, count: 4 }, // confirmed, shipped, captured, completed
  ],
  inventory: [
    { streamBytes: 48, dataBytes: 11 + 30 * lines, count: 2 }, // made, shipped
    { streamBytes: 12, dataBytes: 63, count: 2 * lines }, // reserved, shipped
  ],
  payment: [
    { streamBytes: 44, dataBytes: 71 + SEAL_BYTES + CUSTOMER_BYTES, count: 1 }, // requested
    { streamBytes: 44, dataBytes: 149, metadataBytes: METADATA_BYTES, count: 1 }, // authorized
    { streamBytes: 44, dataBytes: 2, count: 1 }, // capture requested
    { streamBytes: 44, dataBytes: 48, metadataBytes: METADATA_BYTES, count: 1 }, // captured
  ],
});
const METADATA_BYTES = 120;
/** The place of the message that led to it. */
const MESSAGE_BYTES = 38;
/** Who sent the request, as a UUID. */
const ACTOR_BYTES = 47;
/** Whose payment it is. */
const CUSTOMER_BYTES = 53;
/** By how much a payment token that is sealed is longer than a short one. */
const SEAL_BYTES = 290;
const TYPE_BYTES = 16;
/** A joint append counts once: `completed` is appended with `captured`, stock with its reservation. */
const APPENDS_PER_ORDER: Partial<Record<Service, number>> = { order: 5, inventory: 2, payment: 4 };

/** Bytes, measured with orders of two lines: tables without dead rows, with their indexes; and the messages of all topics. */
export const ROWS_PER_ORDER: Partial<Record<Service, number>> = { order: 750, inventory: 255, payment: 185 };
export const MESSAGES_PER_ORDER = 3_620;

/** Measured on two cores, with a margin: see docs/scale.md. */
const APPENDS_PER_SECOND = 20_000;
const REBUILT_PER_SECOND = 50_000;
/** The busiest hour's rate, as a multiple of the day's mean. */
const PEAK = 10;
const RETENTION_DAYS = 7;

/** The overhead of Postgres (storage.sgml, "Database Page Layout"): 24 bytes and a pointer of 4 to a row, 24 to a page of 8 KiB. */
const PAGE_SHARE = 8192 / (8192 - 24);
const aligned = (bytes: number, to = 8) => Math.ceil(bytes / to) * to;
/** Short values have a header of one byte; others have one of four bytes and are aligned to four. */
const text = (at: number, bytes: number) => (bytes <= 126 ? at + 1 + bytes : aligned(at, 4) + 4 + bytes);

function rowBytes({ streamBytes, dataBytes, metadataBytes = METADATA_BYTES + MESSAGE_BYTES }: Kind): number {
  const fixed = 24 + 8 + 8 + 8 + 16 + 4; // header; position, append_end, recorded_at, id, revision
  const category = 7;
  const end = [streamBytes, category, TYPE_BYTES, dataBytes, metadataBytes].reduce(text, fixed);
  return (aligned(end) + 4) * PAGE_SHARE;
}

/** Stream names arrive in random order, so their index is two thirds full. */
const streamEntryBytes = ({ streamBytes }: Kind) => ((aligned(aligned(8 + 1 + streamBytes, 4) + 4) + 4) * 3) / 2;
/** Positions only rise, so their index is nine tenths full. */
const POSITION_ENTRY_BYTES = (8 + 8 + 4) / 0.9;

export interface PerOrder {
  readonly events: number;
  readonly tableBytes: number;
  readonly byStreamBytes: number;
  readonly byPositionBytes: number;
}

/** What one completed order adds to a service's event store. */
export function perOrder(service: Service, lines: number): PerOrder {
  const sum = (of: (kind: Kind) => number) =>
    (kinds(lines)[service] ?? []).reduce((total, kind) => total + kind.count * of(kind), 0);
  return {
    events: sum(() => 1),
    tableBytes: sum(rowBytes),
    byStreamBytes: sum(streamEntryBytes),
    byPositionBytes: sum(() => POSITION_ENTRY_BYTES),
  };
}

export async function main(argv: readonly string[]): Promise<void> {
  process.exitCode = scale(argv, process);
}

/** Returns the exit code: 0, or 2 for a wrong command line. */
export function scale(argv: readonly string[], out: Output): number {
  const request = readCommandLine(argv, SYNTAX, out, ({ values }) => ({
    ordersPerDay: positiveNumber(values['orders-per-day']),
    years: positiveNumber(values.years),
    lines: positiveNumber(values.lines),
  }));
  if (!request) return 2;
  const { ordersPerDay, years, lines } = request;
  const orders = ordersPerDay * 365 * years;
  const size = (bytes: number) => `${number(Math.ceil((orders * bytes) / 2 ** 30))} GiB`;
  const table = services.map((service) => {
    const each = perOrder(service, lines);
    const peak = (ordersPerDay * (APPENDS_PER_ORDER[service] ?? 0) * PEAK) / 86_400;
    return [
      service,
      number(orders * each.events),
      size(each.tableBytes + each.byPositionBytes),
      size(each.byStreamBytes),
      size(ROWS_PER_ORDER[service] ?? 0),
      `${peak.toFixed(1)} (${((100 * peak) / APPENDS_PER_SECOND).toFixed(1)} %)`,
      `${number(Math.ceil((orders * each.events) / REBUILT_PER_SECOND / 60))} min`,
    ];
  });
  const messages = (ordersPerDay * RETENTION_DAYS * MESSAGES_PER_ORDER) / 2 ** 30;
  out.stdout.write(
    columns([['', 'events', 'log', 'index by stream', 'rows', 'appends/s at the peak', 'rebuild'], ...table]) +
      `The bus keeps ${messages.toFixed(1)} GiB of messages for ${RETENTION_DAYS} days. ` +
      'Appends stay fast as long as the index by stream fits into memory.\n',
  );
  return 0;
}

const SYNTAX = {
  usage: 'npm run scale -- --orders-per-day N (default 10,000) --years N (1) --lines N (per order, 2).',
  options: {
    'orders-per-day': { type: 'string', default: '10000' },
    years: { type: 'string', default: '1' },
    lines: { type: 'string', default: '2' },
  },
} as const;
export const { usage } = SYNTAX;

/** Right-aligned columns, except for the first. */
function columns(lines: string[][]): string {
  const widths = lines[0]!.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  return lines
    .map(
      (line) =>
        line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ') + '\n',
    )
    .join('');
}
