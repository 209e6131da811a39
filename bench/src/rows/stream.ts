/** P22: what the gateway takes to tell everybody what happens, and how late it is. */
import { existsSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { readEvents } from '../../../apps/gateway/src/http/read-events.js';
import { bearer } from '../../../proof/shop/issuer.js';
import { residentMb, ticks, TICKS_PER_SECOND } from '../processor.js';
import type { Row } from '../row.js';
import { openBenchShop, orderBody } from '../shop.js';

const READERS = 500;
const ORDERS_PER_SECOND = 100;
const SECONDS = 10;
/** Of one person the gateway takes so many. */
const OF_ONE = 20;

export const row: Row = {
  id: 'P22',
  name: 'Who reads what happens',
  how: `**Larder**: a gateway in front of the three services, in which ${ORDERS_PER_SECOND} orders a second are placed for ${SECONDS} s a round. ${READERS} clerks read \`GET /stream\`, and so are told every fact; one of them notes for each fact how much later it came than the event store recorded it, by one clock. Processor time is that of the gateway, in percent of one core. Memory is its resident set at the end of a round, less what it has before the first reader.`,
  goals: [
    {
      name: "the gateway's processor time, of one core",
      unit: '%',
      atMost: 50,
      value: ({ larder }) => larder!['processor']!,
    },
    { name: "the gateway's megabytes for them", unit: 'pieces', atMost: 100, value: ({ larder }) => larder!['mb']! },
    { name: 'p99 from append to reader', unit: 'ms', atMost: 200, value: ({ larder }) => larder!['p99Ms']! },
  ],
  async open(bench) {
    if (!existsSync('/proc/self/stat')) throw new Error('Processor time is read from /proc, which only Linux has.');
    const seconds = bench.quick ? 3 : SECONDS;
    const shop = await openBenchShop(bench);
    const { issuer } = shop.shop;
    const url = await shop.shop.addGateway();
    const pid = shop.shop.gatewayPids[0]!;
    const before = residentMb(pid);
    const readers: IncomingMessage[] = [];
    for (let i = 0; i < READERS; i++) {
      const headers = bearer(issuer.token(`clerk-${Math.floor(i / OF_ONE)}`, ['clerk']));
      readers.push(await open(`${url}/stream`, headers));
    }
    let lateMs: number[] = [];
    const watching = noteLateness(readers[0]!, (ms) => void lateMs.push(ms));
    for (const reader of readers.slice(1)) reader.resume();
    const headers = { 'content-type': 'application/json', ...bearer(issuer.token('placing', ['clerk'])) };
    const place = async (n: number) => {
      const answer = await fetch(`${shop.shop.urls.order[0]}/orders`, {
        method: 'POST',
        headers: { ...headers, 'idempotency-key': crypto.randomUUID() },
        body: orderBody(n),
      });
      await answer.arrayBuffer();
      if (!answer.ok) throw new Error(`An order was answered with ${answer.status}.`);
    };
    let placed = 0;
    return {
      contenders: {
        async larder() {
          lateMs = [];
          const [begin, ticksBefore] = [performance.now(), ticks(pid)];
          const placing: Promise<void>[] = [];
          for (let i = 0; i < seconds * ORDERS_PER_SECOND; i++) {
            await sleep(Math.max(0, begin + (i * 1_000) / ORDERS_PER_SECOND - performance.now()));
            placing.push(place(placed++));
          }
          await Promise.all(placing);
          await shop.settled();
          const passed = (performance.now() - begin) / 1_000;
          const processor = (100 * (ticks(pid) - ticksBefore)) / TICKS_PER_SECOND / passed;
          if (readers.some((reader) => reader.destroyed)) throw new Error('A reader was cut off.');
          const sorted = lateMs.toSorted((a, b) => a - b);
          const percentile = (p: number) => sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? NaN;
          const orders = (seconds * ORDERS_PER_SECOND) / passed;
          const [p50Ms, p99Ms] = [percentile(0.5), percentile(0.99)];
          return { processor, mb: residentMb(pid) - before, p50Ms, p99Ms, facts: sorted.length, orders };
        },
      },
      async close() {
        for (const reader of readers) reader.destroy();
        await watching;
        await shop.close();
      },
    };
  },
};

function open(url: string, headers: Record<string, string>): Promise<IncomingMessage> {
  return new Promise((opened, failed) => {
    get(url, { headers, agent: false }, opened).on('error', failed);
  });
}

async function noteLateness(reader: IncomingMessage, note: (ms: number) => void): Promise<void> {
  try {
    for await (const events of readEvents(reader)) {
      const now = Date.now();
      for (const { name, data } of events) {
        if (name === 'fact') note(now - Date.parse((JSON.parse(data) as { recordedAt: string }).recordedAt));
      }
    }
  } catch {
    // It is over.
  }
}
