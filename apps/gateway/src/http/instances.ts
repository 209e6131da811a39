/**
 * The instances of the services, and which of them are ready: those that are not get no requests, as long as others are.
 *
 *   a URL ──▶ the addresses of its name, asked of the DNS anew ──▶ /health/ready of each, once a second
 *
 * An instance that refuses a connection is out at once, until a look finds it there. When none is ready, those that are there get
 * the requests: under load all may be too slow to say that they are ready, and each still answers better than nobody. A name that the DNS does not answer for
 * keeps the addresses that it had. An https: URL is one instance, because a certificate is for a name: what it leads to is
 * for whatever answers there.
 */
import { lookup as askDns } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Agent } from 'undici';
import { type Clock, type Log, within } from '#runtime';
import { perService, type Service, services } from '../../../shop.js';

/** Between two looks at the instances of a service. */
const LOOK_EVERY_MS = 1_000;
/** How long the DNS may take, and then each instance. */
const ANSWER_WITHIN_MS = 1_000;

/** 'there': it takes connections, and does not say, or not in time, that it is ready. */
export type State = 'ready' | 'there' | 'out';

export interface Instance {
  readonly service: Service;
  /** Where it is: `http://10.0.0.7:3001`. */
  readonly url: string;
  /** What it is called by: `order:3001`, the `Host` of its requests. */
  readonly host: string;
  readonly state: State;
}

interface Known extends Instance {
  state: State;
}

/** All addresses of a name. */
export type Lookup = (name: string) => Promise<readonly string[]>;

export interface InstancesOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly agent: Agent;
  /** Default: the resolver of the machine. */
  readonly lookup?: Lookup;
}

export class Instances {
  private readonly names: Readonly<Record<Service, readonly Name[]>>;
  private readonly turns: Record<Service, number> = perService(() => 0);

  constructor(
    urls: Readonly<Record<Service, readonly string[]>>,
    private readonly options: InstancesOptions,
  ) {
    const { lookup = addressesOf } = options;
    this.names = perService((service) => urls[service].map((url) => new Name(service, new URL(url), lookup)));
  }

  /** All that its URLs lead to. */
  all(service: Service): readonly Instance[] {
    return this.names[service].flatMap(({ instances }) => instances);
  }

  /** The ready instances of a service. */
  ready(service: Service): readonly Instance[] {
    return this.in('ready', service);
  }

  /** Whether there is any instance to send a request to. */
  canReach(service: Service): boolean {
    return this.in('ready', service).length + this.in('there', service).length > 0;
  }

  /** A ready instance, each in its turn, or else one that is there, but none of `without`; undefined when there is none. */
  next(service: Service, without: ReadonlySet<Instance> = new Set()): Instance | undefined {
    for (const state of ['ready', 'there'] as const) {
      const found = this.in(state, service).filter((instance) => !without.has(instance));
      if (found.length > 0) return found[this.turns[service]++ % found.length];
    }
    return undefined;
  }

  /** It refuses connections: it gets no more requests until a look finds it there. */
  takeOut(instance: Instance): void {
    this.note(instance, 'out');
  }

  /** Looks at all instances once. */
  async look(): Promise<void> {
    await Promise.all(services.map((service) => this.lookAt(service)));
  }

  /** Looks at all instances, again and again, until `signal` aborts. A slow service does not delay a look at another. */
  async watch(signal: AbortSignal): Promise<void> {
    const { clock } = this.options;
    const watchOne = async (service: Service) => {
      for (; !signal.aborted; await clock.sleep(LOOK_EVERY_MS, signal)) await this.lookAt(service);
    };
    await Promise.all(services.map(watchOne));
  }

  private in(state: State, service: Service): readonly Instance[] {
    return this.all(service).filter((each) => each.state === state);
  }

  private async lookAt(service: Service): Promise<void> {
    const { clock } = this.options;
    await Promise.all(this.names[service].map((name) => name.resolve(clock)));
    await Promise.all(this.all(service).map(async (each) => this.note(each, await this.stateOf(each))));
  }

  private stateOf({ url, host }: Instance): Promise<State> {
    const { agent, clock } = this.options;
    const ask = async (signal: AbortSignal): Promise<State> => {
      const origin = { origin: url, path: '/health/ready', method: 'GET' };
      const { statusCode, body } = await agent.request({ ...origin, headers: { host }, signal });
      await body.dump();
      return statusCode === 200 ? 'ready' : 'there';
    };
    return within(clock, ANSWER_WITHIN_MS, ask, () => 'there' as const).catch(() => 'out');
  }

  private note(instance: Known, state: State): void {
    const { service, url, state: before } = instance;
    instance.state = state;
    // One that is not ready may be there and out by turns while it starts.
    if ((state === 'ready') === (before === 'ready')) return;
    const { log } = this.options;
    if (state === 'ready') log.info({ service, url }, 'An instance is ready.');
    else log.warn({ service, url, state }, 'An instance is no longer ready.');
  }
}

/** A URL of the configuration, and the instances that it leads to. */
class Name {
  instances: readonly Known[] = [];
  private asked: Promise<readonly string[]> | undefined;

  constructor(
    private readonly service: Service,
    private readonly url: URL,
    private readonly lookup: Lookup,
  ) {
    if (this.isOne) this.instances = [this.instanceAt(url.origin)];
  }

  /** Whether it names an instance, and not what the DNS has to be asked for. */
  private get isOne(): boolean {
    return this.url.protocol === 'https:' || isIP(this.url.hostname.replace(/^\[|\]$/g, '')) !== 0;
  }

  /** Learns its addresses. A question that the DNS has not answered yet is not asked a second time. */
  async resolve(clock: Clock): Promise<void> {
    if (this.isOne) return;
    this.asked ??= this.lookup(this.url.hostname).finally(() => (this.asked = undefined));
    const found = await within(
      clock,
      ANSWER_WITHIN_MS,
      () => this.asked!,
      () => undefined,
    ).catch(() => undefined);
    if (!found) return;
    const { protocol, port } = this.url;
    const urls = found.map((address) => {
      return new URL(`${protocol}//${isIP(address) === 6 ? `[${address}]` : address}:${port || 80}`).origin;
    });
    this.instances = urls.map((url) => this.instances.find((each) => each.url === url) ?? this.instanceAt(url));
  }

  private instanceAt(url: string): Known {
    return { service: this.service, url, host: this.url.host, state: 'out' };
  }
}

const addressesOf: Lookup = async (name) => (await askDns(name, { all: true })).map(({ address }) => address);
