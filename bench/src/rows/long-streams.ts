/** P5: what a command costs on a stream that has grown long. */
import { randomUUID } from 'node:crypto';
import { CommandHandler } from '@event-driven-io/emmett';
import { type Stock, stock, type StockCommand, type StockEvent } from '../../../apps/inventory/src/domain/stock.js';
import type { EventStore } from '../../../libs/event-store/src/index.js';
import { openInventory } from '../inventory.js';
import { median } from '../measure.js';
import { openEmmett } from '../peers.js';
import type { Row, Sample, Samples } from '../row.js';
import { cause } from '../samples.js';

/** How many streams of each length there are. Long ones serve many commands, which hardly makes them longer. */
const STREAMS = { 1_000: 20, 10_000: 5 } as const;
/** Events that are written at once, to begin with. */
const CHUNK = 1_000;

const COMMAND: StockCommand = { type: 'Receive', quantity: 1 };

export const row: Row = {
  id: 'P5',
  name: 'A command on a long stream',
  how: `One client gives one command after the other (a receipt of stock), to each side and on streams of 10, 1,000 and 10,000 events in turn, and waits until each is durable. A stream of 10 events serves one command, the others several. **Larder**: \`Transactor.transact\` as the inventory service has it. Warm, the stream's state is in its cache, as that of a SKU that sells is; cold, it is dropped from the cache before each command, which begins with the snapshot in the database. **Emmett**: \`CommandHandler\` with the same decider, on streams of 1,000 events. It reads the stream for each command; it has no snapshots, and its author advises to keep streams short.`,
  goals: [
    {
      name: 'p50 at 10,000 events, of that at 10',
      unit: '×',
      atMost: 1.5,
      value: ({ larder }) => larder!['p50At10000Ms']! / larder!['p50At10Ms']!,
    },
    {
      name: 'p50 at 10,000 events, of that at 10, cold',
      unit: '×',
      atMost: 1.5,
      value: ({ larderCold }) => larderCold!['p50At10000Ms']! / larderCold!['p50At10Ms']!,
      profiled: 'larderCold',
    },
    {
      name: "commands per second at 1,000 events, of Emmett's",
      unit: '×',
      atLeast: 10,
      value: ({ larder, emmett }) => emmett!['p50At1000Ms']! / larder!['p50At1000Ms']!,
    },
    {
      name: "commands per second at 1,000 events, of Emmett's, cold",
      unit: '×',
      atLeast: 10,
      value: ({ larderCold, emmett }) => emmett!['p50At1000Ms']! / larderCold!['p50At1000Ms']!,
      profiled: 'larderCold',
    },
  ],
  async open(bench) {
    const turns = bench.quick ? 20 : 200;
    const inventory = await openInventory(await bench.database());
    const { store } = inventory.ports;
    const long = {
      1_000: await grown(store, STREAMS[1_000], 1_000),
      10_000: await grown(store, STREAMS[10_000], 10_000),
    };
    const emmett = await openEmmett(await bench.database(), 1);
    const handle = CommandHandler<Stock, StockEvent>({ initialState: () => stock.initialState, evolve: stock.evolve });
    const emmettStreams = Array.from({ length: STREAMS[1_000] }, () => `stock-${randomUUID()}`);
    for (const stream of emmettStreams) {
      await emmett.store.appendToStream(stream, Array.from({ length: 1_000 }, received));
    }

    const transactor = inventory.transactor();
    /** Gives a command on a stream of each length. What `prepare` does for one is not measured. */
    const onEachLength = async (turn: Turn, prepare: (stream: string) => unknown) => {
      const streams = {
        p50At10Ms: turn.short,
        p50At1000Ms: long[1_000][turn.number % STREAMS[1_000]]!,
        p50At10000Ms: long[10_000][turn.number % STREAMS[10_000]]!,
      };
      for (const [name, stream] of Object.entries(streams)) {
        await prepare(stream);
        await turn.timed(name, () => transactor.transact(stock, stream, COMMAND, cause()));
      }
    };
    const sides = {
      larder: (turn: Turn) => onEachLength(turn, (stream) => transactor.load(stock, stream, 0n)),
      larderCold: (turn: Turn) => onEachLength(turn, (stream) => transactor.forget(stream)),
      emmett: (turn: Turn) =>
        turn.timed('p50At1000Ms', () =>
          handle(emmett.store, emmettStreams[turn.number % emmettStreams.length]!, (state) => [
            ...stock.decide(COMMAND, state),
          ]),
        ),
    };

    /** So many turns of each of these sides, one after the other. */
    async function run(names: readonly (keyof typeof sides)[]): Promise<Samples> {
      const short = await grown(store, turns * names.length, 10);
      const times: Record<string, Record<string, number[]>> = Object.fromEntries(names.map((name) => [name, {}]));
      for (let number = 0; number < turns; number++) {
        for (const side of names) {
          const timed = async (name: string, work: () => Promise<unknown>) => {
            const begin = performance.now();
            await work();
            (times[side]![name] ??= []).push(performance.now() - begin);
          };
          await sides[side]({ number, short: short.pop()!, timed });
        }
      }
      const medians = (of: Record<string, number[]>) => Object.entries(of).map(([name, ms]) => [name, median(ms)]);
      return Object.fromEntries(names.map((name) => [name, Object.fromEntries(medians(times[name]!)) as Sample]));
    }

    return {
      contenders: {
        larder: async () => (await run(['larder']))['larder']!,
        larderCold: async () => (await run(['larderCold']))['larderCold']!,
        emmett: async () => (await run(['emmett']))['emmett']!,
      },
      together: () => run(['larder', 'larderCold', 'emmett']),
      async close() {
        await inventory.close();
        await emmett.close();
      },
    };
  },
};

interface Turn {
  readonly number: number;
  /** A stream of 10 events that nobody has used yet. */
  readonly short: string;
  /** Does the work, and adds what it took to the times of that name. */
  timed(name: string, work: () => Promise<unknown>): Promise<void>;
}

function received(): StockEvent {
  return { type: 'StockReceived', data: { quantity: 1 } };
}

/** Writes so many streams of so many events, and returns their names. */
async function grown(store: EventStore, streams: number, events: number): Promise<string[]> {
  const names = Array.from({ length: streams }, () => `stock-${randomUUID()}`);
  for (let from = 0; from < events; from += CHUNK) {
    await Promise.all(
      names.map((stream) =>
        store.append([
          {
            stream,
            expected: from === 0 ? 'none' : from - 1,
            events: Array.from({ length: Math.min(CHUNK, events - from) }, () => ({
              id: randomUUID(),
              ...received(),
              metadata: { ...cause(), schema: 1 },
            })),
          },
        ]),
      ),
    );
  }
  return names;
}
