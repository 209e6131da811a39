/**
 * The whole shop for a spec: the compiled services as processes of their own, on databases of their own, over HTTP.
 *
 *   const shop = await openShop({ instances: { order: 2 }, env: { order: { ORDER_DEADLINE: '2s' } } });
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
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { call } from '../scripts/api.js';
import { freePort } from '../scripts/embedded-postgres.js';
import { ServiceProcess } from '../scripts/service-process.js';
import { type Service, services } from '../scripts/shop.js';
import { freshDatabase } from './database.js';

/** Generous: a machine that does other things too must not fail a test. */
const PATIENCE_MS = 60_000;

type Environments = Partial<Record<Service, Record<string, string>>>;

export interface OrderRequest {
  readonly lines: readonly { readonly sku: string; readonly quantity: number }[];
  /** `tok_approved` unless told. */
  readonly token?: string;
  readonly customerId?: string;
  /** Which instance of the order service is asked; the first unless told. */
  readonly instance?: number;
  /** Sends the request again until it is answered, as one does who was cut off. */
  readonly patient?: boolean;
}

export interface OrderView {
  readonly orderId: string;
  readonly status: string;
  readonly reason?: string;
  readonly settled: boolean;
}

/**
 * Opens a shop with empty shelves. `env` are variables of single services, `instances` says how many processes each
 * has: 1 unless told, `postgresUrl` is a server of the spec's own, and so is `busUrl`, instead of a database.
 * @throws Advice when the build is not up to date, or a service does not get ready
 */
export async function openShop({
  env = {},
  instances = {},
  postgresUrl,
  busUrl,
}: {
  env?: Environments;
  instances?: Partial<Record<Service, number>>;
  postgresUrl?: string;
  busUrl?: string;
} = {}): Promise<Shop> {
  refuseOldBuild();
  const [order, inventory, payment, bus] = await Promise.all([
    freshDatabase('order', postgresUrl),
    freshDatabase('inventory', postgresUrl),
    freshDatabase('payment', postgresUrl),
    busUrl ?? freshDatabase(undefined, postgresUrl),
  ]);
  const shop = new Shop({ order, inventory, payment, bus }, env);
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

export class Shop implements AsyncDisposable {
  /** The base URLs of the instances of each service. */
  readonly order: string[] = [];
  readonly inventory: string[] = [];
  readonly payment: string[] = [];

  private readonly processes: Record<Service, ServiceProcess[]> = { order: [], inventory: [], payment: [] };
  private readonly instanceEnv: Record<Service, Record<string, string>[]> = { order: [], inventory: [], payment: [] };
  /** Those that we ended ourselves. */
  private readonly killed = new Set<ServiceProcess>();
  private readonly folder = mkdtempSync(join(tmpdir(), 'larder-shop-'));

  constructor(
    /** The URL of each service's database, and of the bus. */
    readonly databases: Readonly<Record<Service | 'bus', string>>,
    private readonly env: Environments,
  ) {}

  /** Where `npm run replay` finds this shop. */
  get replayEnv(): Record<string, string> {
    return Object.fromEntries(
      services.flatMap((service) => [
        [`${service.toUpperCase()}_DATABASE_URL`, this.databases[service]],
        [`${service.toUpperCase()}_EVENT_STORE_URL`, this.databases[service]],
      ]),
    );
  }

  /** Starts one more instance of a service; `env` are variables of this one alone. */
  async add(service: Service, env: Record<string, string> = {}): Promise<void> {
    const port = await freePort();
    const instance = this[service].push(`http://127.0.0.1:${port}`) - 1;
    this.instanceEnv[service][instance] = env;
    await this.launch(service, instance, port);
  }

  /** SIGKILL: whatever it was doing stays half-done. */
  kill(service: Service, instance = 0): void {
    const victim = this.process(service, instance);
    this.killed.add(victim);
    victim.kill('SIGKILL');
  }

  /** SIGTERM: it finishes what it has begun, and takes its leave. */
  async stop(service: Service, instance = 0): Promise<void> {
    const leaving = this.process(service, instance);
    this.killed.add(leaving);
    await leaving.stop();
  }

  /** Starts an instance again, at its old port; kills it first where it still runs. */
  async restart(service: Service, instance = 0): Promise<void> {
    const before = this.process(service, instance);
    this.kill(service, instance);
    await before.ended;
    await this.launch(service, instance, before.port);
  }

  /** What the instances of a service have logged so far. */
  logs(service: Service): string {
    return this.processes[service].map((_, instance) => readFileSync(this.logOf(service, instance), 'utf8')).join('');
  }

  /** `prices` are minor units of EUR, by SKU. */
  async setPrices(prices: Readonly<Record<string, number>>): Promise<void> {
    await Promise.all(
      Object.entries(prices).map(([sku, amountMinor]) =>
        call('PUT', `${this.order[0]}/prices/${sku}`, { amountMinor, currency: 'EUR' }),
      ),
    );
  }

  async stockUp(units: Readonly<Record<string, number>>): Promise<void> {
    await Promise.all(
      Object.entries(units).map(([sku, quantity]) =>
        call('POST', `${this.inventory[0]}/stock/${sku}/receipts`, { quantity }, { 'idempotency-key': randomUUID() }),
      ),
    );
  }

  /** Places an order and returns its id. @throws Advice when it is refused */
  async place({
    lines,
    token = 'tok_approved',
    customerId = randomUUID(),
    instance = 0,
    patient = false,
  }: OrderRequest): Promise<string> {
    const key = { 'idempotency-key': randomUUID() };
    const body = { customerId, lines, payment: { token } };
    const send = async () => (await call<OrderView>('POST', `${this.order[instance]}/orders`, body, key)).orderId;
    if (!patient) return send();
    return this.until('the order is accepted', async () => ({ done: true, found: await send() }));
  }

  /** Waits until nothing more will happen to an order, and returns it as the read model has it. */
  settled(orderId: string): Promise<OrderView> {
    return this.until(`order ${orderId} is settled`, async () => {
      const found = await call<OrderView>('GET', `${this.order[0]}/orders/${orderId}`);
      return { done: found.settled, found };
    });
  }

  /** Waits until every read model shows all that has happened so far. */
  async caughtUp(): Promise<void> {
    for (const service of services) {
      await this.until(`the read models of ${service} have caught up`, async () => {
        const found = await call<{ items: { lag: number }[] }>('GET', `${this[service][0]}/admin/projections`);
        return { done: found.items.every(({ lag }) => lag === 0), found };
      });
    }
  }

  /**
   * Looks again and again until it is `done`, and returns what was found. A look that throws is repeated too.
   * @throws when that takes too long, with what was seen last, or when a service has ended by itself
   */
  async until<T>(description: string, look: () => Promise<{ done: boolean; found: T }>): Promise<T> {
    let last: unknown = 'nothing yet';
    for (const giveUpAt = Date.now() + PATIENCE_MS; Date.now() < giveUpAt; await sleep(25)) {
      this.refuseCrash();
      try {
        const { done, found } = await look();
        if (done) return found;
        last = found;
      } catch (error) {
        last = error;
      }
    }
    const words = services.map((service) => `${service} said last: ${this.process(service, 0).lastWords()}`);
    throw new Error(`Waited too long until ${description}. Seen last: ${inspect(last)}\n${words.join('\n')}`);
  }

  async close(): Promise<void> {
    await Promise.all(Object.values(this.processes).map((instances) => Promise.all(instances.map((it) => it.stop()))));
    rmSync(this.folder, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async launch(service: Service, instance: number, port: number): Promise<void> {
    const { [service]: database, bus } = this.databases;
    const env = {
      EVENT_STORE_URL: database,
      DATABASE_URL: database,
      MESSAGE_BUS_URL: bus,
      ...this.env[service],
      ...this.instanceEnv[service][instance],
    };
    const launched = new ServiceProcess(service, port, env, this.logOf(service, instance));
    this.processes[service][instance] = launched;
    await launched.ready();
  }

  private process(service: Service, instance: number): ServiceProcess {
    const found = this.processes[service][instance];
    if (!found) throw new Error(`There is no instance ${instance} of ${service}.`);
    return found;
  }

  private logOf(service: Service, instance: number): string {
    return join(this.folder, `${service}-${instance}.log`);
  }

  private refuseCrash(): void {
    for (const it of Object.values(this.processes).flat()) {
      if (!it.running && !this.killed.has(it)) throw new Error(`${it.name} ended by itself: ${it.lastWords()}`);
    }
  }
}

/** The services run as they were compiled, so a spec that runs on an old build would prove nothing. */
function refuseOldBuild(): void {
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const { stdout } = spawnSync(process.execPath, [tsc, '-b', 'tsconfig.build.json', '--dry'], { encoding: 'utf8' });
  if (!/is up to date|update timestamps/.test(stdout))
    throw new Error('The build is out of date: run `npm run build`.');
}
