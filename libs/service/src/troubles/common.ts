/** The troubles that every service has, and what brings them: they stand between the service and its ports. */
import { type EventStore, ForwardingStore, type StreamWrite, type Turn } from '#event-store';
import { type ConsumeOptions, type Message, MessageBus } from '#message-bus';
import { abortQuietly, ServerUnavailable } from '#runtime';
import type { ServicePorts } from '../ports.js';
import type { Troubles, TroubleTable } from './troubles.js';

const FREEZE_SECONDS = 10;

export const commonTroubles = {
  'end-after-append': {
    does: 'Kills the process (SIGKILL) right after its next append: the events are stored, and nobody was told.',
    see: 'It is started again and goes on from its events. A request that got no answer is sent again with its key, and the order is placed once.',
    seconds: 60,
    once: true,
  },
  freeze: {
    does: `Lets the process stand still for ${FREEZE_SECONDS} seconds after its next append, as a machine that is paused does.`,
    see: 'Requests to it run into their limits, the other services go on, and its messages wait. Then it goes on where it stood.',
    seconds: 60,
    once: true,
  },
  'refuse-appends': {
    does: 'Lets the event store refuse every append, as one whose disk is full.',
    see: 'Writes are answered with 503. Messages wait in a line for each order, no attempt is counted, and they are handled when it is over.',
    seconds: 60,
  },
  'silence-database': {
    does: 'Swallows every answer of Postgres: what is asked of it happens, and nobody learns of it.',
    see: 'Each connection is given up within 10 seconds, and the service is not ready. It then finds out what has been written, and writes nothing twice.',
    seconds: 30,
  },
  'lose-bus': {
    does: 'Cuts the service off from the message bus.',
    see: 'It takes requests all the same. Its events wait in the store, its messages on the bus; both arrive when it is over.',
    seconds: 60,
  },
  'publish-twice': {
    does: 'Says every message twice.',
    see: 'Whoever hears it decides nothing new the second time: no order is shipped, charged or counted twice.',
    seconds: 60,
  },
} as const satisfies TroubleTable;

type CommonTroubles = Troubles<keyof typeof commonTroubles>;

/** What a trouble does to the process itself. */
export interface Hands {
  /** Never resolves. */
  kill(): Promise<never>;
  /** Nothing else happens in the process meanwhile. */
  standStill(ms: number): void;
}

export const ownHands: Hands = {
  kill() {
    process.kill(process.pid, 'SIGKILL');
    return new Promise(() => {}); // Nothing continues until the signal takes effect.
  },
  standStill: (ms) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms),
};

/** The same ports, with the troubles that are on. That of the database is between the process and its server: silence.ts. */
export function withTroubles<P extends ServicePorts>(ports: P, troubles: CommonTroubles, hands = ownHands): P {
  return {
    ...ports,
    store: new TroubledStore(ports.store, troubles, hands),
    bus: new TroubledBus(ports.bus, troubles),
  };
}

class TroubledStore extends ForwardingStore {
  constructor(
    store: EventStore,
    private readonly troubles: CommonTroubles,
    private readonly hands: Hands,
  ) {
    super(store);
  }

  override append(writes: readonly StreamWrite[]): Promise<bigint> {
    return this.troubled(() => super.append(writes));
  }

  override inTurn<T>(streams: ReadonlyMap<string, number>, work: (turn: Turn) => Promise<T>): Promise<T> {
    return super.inTurn(streams, (turn) =>
      work({
        read: (stream, from) => turn.read(stream, from),
        append: (writes) => this.troubled(() => turn.append(writes)),
      }),
    );
  }

  private async troubled(append: () => Promise<bigint>): Promise<bigint> {
    if (this.troubles.strikes('refuse-appends'))
      throw new ServerUnavailable('A trouble refuses appends: refuse-appends is on.');
    const position = await append();
    if (this.troubles.strikes('end-after-append')) await this.hands.kill();
    if (this.troubles.strikes('freeze')) this.hands.standStill(FREEZE_SECONDS * 1_000);
    return position;
  }
}

class TroubledBus extends MessageBus {
  constructor(
    private readonly bus: MessageBus,
    private readonly troubles: CommonTroubles,
  ) {
    super();
  }

  override async publish(topic: string, messages: readonly Message[]): Promise<void> {
    this.reach();
    await this.bus.publish(topic, messages);
    if (this.troubles.strikes('publish-twice')) await this.bus.publish(topic, messages);
  }

  /** A consumer that loses the bus ends, and what it has just handled is delivered again. */
  override async consume(options: ConsumeOptions): Promise<void> {
    this.reach();
    const cut = new AbortController();
    const stop = () => abortQuietly(cut);
    options.signal.addEventListener('abort', stop);
    if (options.signal.aborted) stop();
    const forget = this.troubles.onBegin('lose-bus', stop);
    try {
      await this.bus.consume({
        ...options,
        signal: cut.signal,
        handle: async (batch, lost) => {
          this.reach();
          await options.handle(batch, lost);
          this.reach();
        },
      });
    } finally {
      forget();
      options.signal.removeEventListener('abort', stop);
    }
    if (!options.signal.aborted) this.reach();
  }

  override async rewind(group: string, topics: readonly string[]): Promise<void> {
    this.reach();
    return this.bus.rewind(group, topics);
  }

  override async missed(group: string) {
    this.reach();
    return this.bus.missed(group);
  }

  override async unread(group: string, topics: readonly string[]) {
    this.reach();
    return this.bus.unread(group, topics);
  }

  override async ping() {
    this.reach();
    return this.bus.ping();
  }

  override close(): Promise<void> {
    return this.bus.close();
  }

  private reach(): void {
    if (this.troubles.strikes('lose-bus')) throw new ServerUnavailable('A trouble keeps the bus away: lose-bus is on.');
  }
}
