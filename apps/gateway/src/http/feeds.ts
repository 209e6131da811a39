/**
 * Follows what happens in every service (`GET /admin/activity`), at one of its instances each.
 *
 *   an instance ─▶ events ─▶ … ─▶ it ends, fails, or is silent for 5 s ─▶ after a pause: from the last position, at the next instance
 *
 * Nothing is left out by that, since the positions are those of the service's log, and nothing comes twice.
 */
import { text } from 'node:stream/consumers';
import { eventText } from '#nest';
import { abortQuietly, type Clock, type Runtime, supervise } from '#runtime';
import { type Service, services } from '../../../shop.js';
import { formatPositions, type Positions } from '../positions.js';
import type { Instances } from './instances.js';
import { type ReceivedEvent, readEvents, requestEvents } from './read-events.js';
import type { Ring, ToldFact } from './ring.js';

/** A service says how far it is once a second. */
const SILENT_MS = 5_000;
/** Who is back sooner was not away. */
const AWAY_AFTER_MS = 1_000;

export interface FeedsOptions extends Pick<Runtime, 'clock' | 'random' | 'log'> {
  readonly instances: Pick<Instances, 'next'>;
  /** Gets a token of the gateway's own. */
  readonly token: () => Promise<string>;
}

/** The id of what is told when so much is known. Of nobody anything: whoever comes back with it has to read anew. */
export function idOf(reached: Positions): string {
  return formatPositions(reached, ',') || `${services[0]}:0`;
}

export class Feeds {
  private readonly away = new Set<Service>();
  private readonly followed = new Set<Service>();

  /** `isRead` says whether anybody has been told how things stand. */
  constructor(
    private readonly ring: Ring,
    private readonly isRead: () => boolean,
    private readonly options: FeedsOptions,
  ) {}

  /** Says which services are away. */
  get awayText(): string {
    return eventText('away', { services: services.filter((service) => this.away.has(service)) });
  }

  /** Whether of each service is known that it is followed, or away. */
  get isKnown(): boolean {
    return services.every((service) => this.followed.has(service) || this.away.has(service));
  }

  /** Follows all until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(services.map((service) => this.runOne(service, signal)));
  }

  private async runOne(service: Service, signal: AbortSignal): Promise<void> {
    const back = { last: new AbortController() };
    const isBack = () => {
      abortQuietly(back.last);
      this.followed.add(service);
      this.note(service, false);
    };
    const isLost = () => {
      this.followed.delete(service);
      back.last = new AbortController();
      const { signal: isOver } = back.last;
      void this.options.clock.sleep(AWAY_AFTER_MS, isOver).then(() => {
        if (!isOver.aborted && !signal.aborted) this.note(service, true);
      });
    };
    isLost();
    await supervise(`stream of ${service}`, this.options, signal, async () => {
      try {
        await this.follow(service, isBack, signal);
      } finally {
        if (this.followed.has(service)) isLost();
      }
    });
    abortQuietly(back.last);
  }

  private note(service: Service, isAway: boolean): void {
    if (this.away.has(service) === isAway) return;
    if (isAway) this.away.add(service);
    else this.away.delete(service);
    this.ring.add({ text: this.awayText, isForAll: true });
  }

  private async follow(service: Service, isBack: () => void, signal: AbortSignal): Promise<void> {
    const { instances, token, clock } = this.options;
    const instance = instances.next(service);
    if (!instance) throw new Error(`No instance of ${service} can be reached.`);
    const after = this.ring.reached.get(service);
    const authorization = `Bearer ${await token()}`;
    const headers = { authorization, host: instance.host, ...(after !== undefined && { 'last-event-id': `${after}` }) };
    const over = new AbortController();
    const stop = () => abortQuietly(over);
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    const silence = new Silence(clock, over);
    try {
      const response = await requestEvents(`${instance.url}/admin/activity`, headers, over.signal);
      if (response.statusCode !== 200) {
        const answer = await text(response);
        if (response.statusCode === 400 && answer.includes('"unknown-position"')) this.ring.forget(service);
        throw new Error(`${instance.url} answers ${response.statusCode}: ${answer.slice(0, 500)}`);
      }
      for await (const events of readEvents(response)) {
        silence.isBroken();
        for (const event of events) this.handle(service, event, isBack);
      }
    } catch (error) {
      throw silence.isTooLong ? new Error(`${instance.url} was silent.`, { cause: error }) : error;
    } finally {
      stop();
      signal.removeEventListener('abort', stop);
    }
  }

  private handle(service: Service, { name, data, id }: ReceivedEvent, isBack: () => void): void {
    if (name === 'begin') {
      const isNew = this.ring.begin(service, BigInt(id!));
      if (isNew && this.isRead()) this.ring.add({ text: eventText('resync', {}), isForAll: true });
      isBack();
    } else if (name === 'fact') {
      const fact = { service, position: BigInt(id!), ...orderIn(service, data) };
      this.ring.addFact(fact, (reached) => `event: fact\ndata: ${data}\nid: ${idOf(reached)}\n\n`);
    } else {
      this.ring.add({ text: `event: ${name}\ndata: ${data}\n\n` });
    }
  }
}

/** The order in whose own stream a fact is, and its customer, if it says so. */
function orderIn(service: Service, json: string): Pick<ToldFact, 'orderId' | 'customerId'> {
  if (service !== 'order') return {};
  const { stream, data } = JSON.parse(json) as { stream: string; data: { customerId?: unknown } };
  if (!stream.startsWith('order-')) return {};
  return {
    orderId: stream.slice('order-'.length),
    ...(typeof data.customerId === 'string' && { customerId: data.customerId }),
  };
}

/** Aborts when nothing was heard for too long. */
class Silence {
  private sinceMs: number;
  isTooLong = false;

  constructor(
    private readonly clock: Clock,
    over: AbortController,
  ) {
    this.sinceMs = clock.monotonicMs();
    void this.watch(over);
  }

  isBroken(): void {
    this.sinceMs = this.clock.monotonicMs();
  }

  private async watch(over: AbortController): Promise<void> {
    for (;;) {
      const leftMs = this.sinceMs + SILENT_MS - this.clock.monotonicMs();
      if (leftMs <= 0) break;
      await this.clock.sleep(leftMs, over.signal);
      if (over.signal.aborted) return;
    }
    this.isTooLong = true;
    abortQuietly(over);
  }
}
