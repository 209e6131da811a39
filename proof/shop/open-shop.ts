/**
 * A whole shop for a proof: the compiled services as processes of their own, on databases of their own, over HTTP. The
 * specs open theirs on the test run's Postgres (test/support/shop.ts), the commands on servers of their own (trial.ts).
 *
 *   const shop = await openShop({ databases, instances: { order: 2 }, env: { order: { ORDER_DEADLINE: '2s' } } });
 *   await shop.setPrices({ 'olive-oil': 1299 });
 *   await shop.stockUp({ 'olive-oil': 10 });
 *   const orderId = await shop.place({ lines: [{ sku: 'olive-oil', quantity: 2 }] });
 *   shop.kill('payment');
 *   await shop.restart('payment');
 *   expect(await shop.settled(orderId)).toMatchObject({ status: 'completed' });
 *   await shop.close();
 *
 * The services end with the process that opened them, even when that is killed: see service-process.ts.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { PostgresConnection } from '#runtime/postgres';
import { call, type Headers } from '../../scripts/lib/api.js';
import { freePort } from '../../scripts/lib/embedded-postgres.js';
import { migrate } from '../../scripts/migrate.js';
import { ServiceProcess } from '../../scripts/lib/service-process.js';
import type { Recipient } from '../../apps/order/src/recipient.js';
import { perService, type Service, services } from '../../apps/shop.js';
import { type Role, roles } from '#service';
import { bearer, Issuer } from './issuer.js';

/** Generous: a machine that does other things too must not fail a proof. */
const PATIENCE_MS = 60_000;

/** The customer id of Ada. */
export const ADA = 'ada00000-0000-4000-8000-000000000000';

/** Ada sends what a thousand customers would. */
const UNLIMITED = { RATE_LIMIT_PER_CALLER: '1000000/1s', RATE_LIMIT_PER_ADDRESS: '1000000/1s' };

type Environments = Partial<Record<Service, Record<string, string>>>;

export interface OrderRequest {
  readonly lines: readonly { readonly sku: string; readonly quantity: number }[];
  /** Default: `tok_approved`. */
  readonly token?: string;
  readonly customerId?: string;
  readonly recipient?: Recipient;
  /** The instance of the order service that is asked; default: the first. */
  readonly instance?: number;
  /** Whether the request is repeated until it is answered, as a client does that was cut off or told to try again. Default: true. */
  readonly patient?: boolean;
}

export interface OrderView {
  readonly orderId: string;
  readonly status: string;
  readonly reason?: string;
  readonly settled: boolean;
}

/** The URL of each service's database, of the bus, and of the customers' keys. */
export type Databases = Readonly<Record<Service | 'bus' | 'customer_keys', string>>;

export interface ShopOptions {
  readonly databases: Databases;
  /** Variables of single services. */
  readonly env?: Environments;
  /** How many processes each service has; default: 1. */
  readonly instances?: Partial<Record<Service, number>>;
  /** What runs instead of a service's own program: see ServiceProcess. */
  readonly program?: string;
  /** Is given the shop before its services start, so that it can be closed meanwhile. */
  readonly onOpening?: (shop: Shop) => void;
}

/** Opens a shop with empty shelves. @throws Advice when a service does not get ready */
export async function openShop({ instances = {}, onOpening, ...options }: ShopOptions): Promise<Shop> {
  const shop = new Shop(options, await Issuer.open());
  onOpening?.(shop);
  try {
    await Promise.all(
      services.flatMap((service) => Array.from({ length: instances[service] ?? 1 }, () => shop.add(service))),
    );
  } catch (error) {
    await shop.close();
    throw error;
  }
  return shop;
}

/** Databases for a shop on the Postgres at `server`, migrated; the bus has one too unless it is at `busUrl`. They go with the server. */
export async function freshDatabases(server: string, busUrl?: string): Promise<Databases> {
  const names = [...services, 'bus', 'customer_keys'] as const;
  const urls = names.map(async (name) => [name, await freshDatabaseOf(name)] as const);
  return Object.fromEntries(await Promise.all(urls)) as Databases;

  async function freshDatabaseOf(name: (typeof names)[number]): Promise<string> {
    if (name === 'bus') return busUrl ?? freshDatabase(server);
    return name === 'customer_keys' ? freshDatabase(server) : freshDatabase(server, name);
  }
}

/** Creates a database on the Postgres at `server`, empty or with a service's tables, and returns its URL. */
export async function freshDatabase(server: string, service?: Service): Promise<string> {
  const url = new URL(server);
  const client = new PostgresConnection({ connectionString: url.href });
  await client.connect();
  url.pathname = `/t_${randomUUID().replaceAll('-', '')}`;
  await client.query(`CREATE DATABASE "${url.pathname.slice(1)}"`);
  await client.end();
  if (service) await migrate(url.href, `prisma/${service}/migrations`);
  return url.href;
}

/** Something that was waited for did not happen in time. */
export class TooLong extends Error {
  override readonly name = 'TooLong';
}

export class Shop implements AsyncDisposable {
  /** The base URLs of the instances of each service. */
  readonly urls = perService((): string[] => []);

  private readonly processes = perService((): ServiceProcess[] => []);
  private readonly instanceEnv = perService((): Record<string, string>[] => []);
  private readonly programs = perService((): (string | undefined)[] => []);
  private readonly gateways: ServiceProcess[] = [];
  private readonly gatewayEnv: Record<string, string>[] = [];
  /** Those that were ended on purpose. */
  private readonly killed = new Set<ServiceProcess>();
  /** Where the services' logs are. */
  readonly folder = mkdtempSync(join(tmpdir(), 'larder-shop-'));
  private closing: Promise<void> | undefined;

  /** Ada, who is customer, clerk, operator and machine in one, for proofs in which it does not matter who does something. */
  readonly anybody: Headers;

  constructor(
    private readonly options: Omit<ShopOptions, 'instances' | 'onOpening'>,
    /** Whose tokens the services accept. */
    readonly issuer: Issuer,
  ) {
    this.anybody = this.as(ADA, ...roles);
  }

  /** The header of a request of somebody with these roles. */
  as(subject: string, ...roles: readonly Role[]): Headers {
    return bearer(this.issuer.token(subject, roles));
  }

  get order(): readonly string[] {
    return this.urls.order;
  }

  get inventory(): readonly string[] {
    return this.urls.inventory;
  }

  get payment(): readonly string[] {
    return this.urls.payment;
  }

  get databases(): Databases {
    return this.options.databases;
  }

  /** Where `npm run replay` finds this shop. */
  get replayEnv(): Record<string, string> {
    return Object.fromEntries(
      services.flatMap((service) => [
        [`${service.toUpperCase()}_DATABASE_URL`, this.databases[service]],
        [`${service.toUpperCase()}_EVENT_STORE_URL`, this.databases[service]],
      ]),
    );
  }

  /** Starts one more instance of a service; `env` and `program` are of this one alone. */
  async add(service: Service, env: Record<string, string> = {}, program = this.options.program): Promise<void> {
    const port = await freePort();
    const instance = this.urls[service].push(`http://127.0.0.1:${port}`) - 1;
    this.instanceEnv[service][instance] = env;
    this.programs[service][instance] = program;
    await this.launch(service, instance, port);
  }

  /** Starts a gateway in front of all instances that there are, and returns its URL. */
  async addGateway(env: Record<string, string> = {}): Promise<string> {
    const urls = services.map((service) => [`${service.toUpperCase()}_URL`, this.urls[service].join()]);
    const asMachine = { GATEWAY_CLIENT_ID: 'gateway', GATEWAY_CLIENT_SECRET: 'of the gateway' };
    const variables = { AUTH_ISSUER: this.issuer.url, ...asMachine, ...UNLIMITED, ...Object.fromEntries(urls), ...env };
    const port = await freePort();
    this.gatewayEnv.push(variables);
    await this.launchGateway(this.gateways.length, port);
    return `http://127.0.0.1:${port}`;
  }

  /** Kills a gateway, and starts it again at its old port when what is returned is called. */
  killGateway(instance = 0): () => Promise<void> {
    const before = this.gateways[instance]!;
    before.kill('SIGKILL');
    return async () => {
      await before.ended;
      await this.launchGateway(instance, before.port);
    };
  }

  /** Says something to the gateways, as the process that starts them does. */
  tellGateways(message: object): void {
    for (const each of this.gateways) if (each.running) each.send(message);
  }

  /** SIGKILL: whatever it was doing stays half-done. */
  kill(service: Service, instance = 0): void {
    const victim = this.process(service, instance);
    this.killed.add(victim);
    victim.kill('SIGKILL');
  }

  /** SIGTERM: it finishes what it has begun, and shuts down. */
  async stop(service: Service, instance = 0): Promise<void> {
    const leaving = this.process(service, instance);
    this.killed.add(leaving);
    await leaving.stop();
  }

  /** Tells an instance to end, which a victim knows how to (crash/victim.ts), and resolves when it has. */
  async doom(service: Service, message: object, instance = 0): Promise<void> {
    const victim = this.process(service, instance);
    this.killed.add(victim);
    victim.send(message);
    await victim.ended;
  }

  /** Starts an instance again, at its old port; kills it first where it still runs. */
  async restart(service: Service, instance = 0): Promise<void> {
    const before = this.process(service, instance);
    this.kill(service, instance);
    await before.ended;
    await this.launch(service, instance, before.port);
  }

  /** Stops an instance and starts it again at its old port, with other variables of its own. */
  async reconfigure(service: Service, instance: number, env: Record<string, string>): Promise<void> {
    await this.stop(service, instance);
    this.instanceEnv[service][instance] = env;
    await this.launch(service, instance, this.process(service, instance).port);
  }

  /** Restarts every instance that has ended, for whatever reason. */
  async revive(): Promise<void> {
    for (const service of services) {
      for (const [instance, it] of this.processes[service].entries()) {
        if (!it.running) await this.restart(service, instance);
      }
    }
  }

  /** What the instances of a service have logged so far. */
  logs(service: Service): string {
    return this.processes[service].map((_, instance) => readFileSync(this.logOf(service, instance), 'utf8')).join('');
  }

  /** `prices` are minor units of EUR, by SKU. */
  async setPrices(prices: Readonly<Record<string, number>>): Promise<void> {
    await Promise.all(
      Object.entries(prices).map(([sku, amountMinor]) => {
        const price = { amountMinor, currency: 'EUR' };
        const put = () => call('PUT', `${this.order[0]}/prices/${sku}`, price, this.anybody);
        return this.answered(`the price of ${sku} is set`, put);
      }),
    );
  }

  async stockUp(units: Readonly<Record<string, number>>): Promise<void> {
    await Promise.all(
      Object.entries(units).map(([sku, quantity]) => {
        const headers = { 'idempotency-key': randomUUID(), ...this.anybody };
        const post = () => call('POST', `${this.inventory[0]}/stock/${sku}/receipts`, { quantity }, headers);
        return this.answered(`${sku} is in stock`, post);
      }),
    );
  }

  /** Places an order and returns its id. */
  async place({
    lines,
    token = 'tok_approved',
    customerId = randomUUID(),
    recipient,
    instance = 0,
    patient = true,
  }: OrderRequest): Promise<string> {
    const key = { 'idempotency-key': randomUUID(), ...this.anybody };
    const body = { customerId, lines, payment: { token }, recipient };
    const post = () => call<OrderView>('POST', `${this.order[instance]}/orders`, body, key);
    const { orderId } = await (patient ? this.answered('the order is accepted', post) : post());
    return orderId;
  }

  /** A service that has just started may tell the first of many requests to try again. */
  private answered<T>(description: string, send: () => Promise<T>): Promise<T> {
    return this.until(description, async () => ({ done: true, found: await send() }));
  }

  /** Waits until an order is settled, and returns it from the read model. */
  settled(orderId: string, patienceMs = PATIENCE_MS): Promise<OrderView> {
    const look = async () => {
      const found = await call<OrderView>('GET', `${this.running('order')}/orders/${orderId}`, undefined, this.anybody);
      return { done: found.settled, found };
    };
    return this.until(`order ${orderId} is settled`, look, patienceMs);
  }

  /** Waits until every read model shows all that has happened so far. */
  async caughtUp(): Promise<void> {
    for (const service of services) {
      await this.until(`the read models of ${service} have caught up`, async () => {
        const url = `${this.running(service)}/admin/projections`;
        const found = await call<{ items: { lag: number }[] }>('GET', url, undefined, this.anybody);
        return { done: found.items.every(({ lag }) => lag === 0), found };
      });
    }
  }

  /**
   * Looks again and again until it is `done`, and returns what was found. A look that throws is repeated too.
   * @throws TooLong when that takes too long, with what was seen last; an Error when a service has ended by itself
   */
  async until<T>(
    description: string,
    look: () => Promise<{ done: boolean; found: T }>,
    patienceMs = PATIENCE_MS,
  ): Promise<T> {
    let last: unknown = 'nothing yet';
    const giveUpAt = performance.now() + patienceMs;
    do {
      this.refuseEnd();
      try {
        const { done, found } = await look();
        if (done) return found;
        last = found;
      } catch (error) {
        last = error;
      }
      await sleep(25);
    } while (performance.now() < giveUpAt);
    const words = services.map((service) => `${service} said last: ${this.process(service, 0).lastWords()}`);
    throw new TooLong(`Waited too long until ${description}. Seen last: ${inspect(last)}\n${words.join('\n')}`);
  }

  /** Whether it is closed, or being closed. */
  get closed(): boolean {
    return this.closing !== undefined;
  }

  /** The process ids of all instances, by name. */
  get pids(): ReadonlyMap<string, number> {
    const running = { ...this.processes, gateway: this.gateways };
    return new Map(
      Object.entries(running).flatMap(([name, all]) => all.map(({ pid }, i) => [`${name} ${i + 1}`, pid])),
    );
  }

  /** Of the gateways, in the order in which they were added. */
  get gatewayPids(): readonly number[] {
    return this.gateways.map(({ pid }) => pid);
  }

  /** Stops what runs; at once, with SIGKILL, when it is `abandoned`. Nothing is started from here on. */
  close({ abandoned = false } = {}): Promise<void> {
    this.closing ??= (async () => {
      const running = [...this.gateways, ...Object.values(this.processes).flat()];
      if (abandoned) running.forEach((it) => it.kill('SIGKILL'));
      await Promise.all(running.map((it) => it.stop()));
      this.issuer.close();
      rmSync(this.folder, { recursive: true, force: true });
    })();
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async launch(service: Service, instance: number, port: number): Promise<void> {
    if (this.closed) throw new Error('The shop is closed.');
    const { databases, env = {} } = this.options;
    const { [service]: database, bus, customer_keys: customerKeys } = databases;
    const variables = {
      EVENT_STORE_URL: database,
      DATABASE_URL: database,
      MESSAGE_BUS_URL: bus,
      AUTH_ISSUER: this.issuer.url,
      ...UNLIMITED,
      CUSTOMER_KEYS_URL: customerKeys,
      ...env[service],
      ...this.instanceEnv[service][instance],
    };
    const program = this.programs[service][instance];
    const launched = new ServiceProcess(service, port, variables, this.logOf(service, instance), program);
    this.processes[service][instance] = launched;
    await launched.ready();
  }

  private async launchGateway(instance: number, port: number): Promise<void> {
    const log = join(this.folder, `gateway-${instance}.log`);
    const launched = new ServiceProcess('gateway', port, this.gatewayEnv[instance]!, log);
    this.gateways[instance] = launched;
    await launched.ready();
  }

  /** The URL of the first instance that runs. */
  private running(service: Service): string {
    const instance = this.processes[service].findIndex(({ running }) => running);
    return this.urls[service][Math.max(instance, 0)]!;
  }

  private process(service: Service, instance: number): ServiceProcess {
    const found = this.processes[service][instance];
    if (!found) throw new Error(`There is no instance ${instance} of ${service}.`);
    return found;
  }

  private logOf(service: Service, instance: number): string {
    return join(this.folder, `${service}-${instance}.log`);
  }

  /** @throws when the shop is closed, or a service has ended that nobody ended */
  private refuseEnd(): void {
    if (this.closed) throw new Error('The shop is closed.');
    for (const it of Object.values(this.processes).flat()) {
      if (!it.running && !this.killed.has(it)) throw new Error(`${it.name} ended by itself: ${it.lastWords()}`);
    }
  }
}
