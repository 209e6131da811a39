/**
 * A shop with servers of its own, for as long as one command runs: `npm run crash`, `npm run race`.
 *
 *   temporary folder ─▶ Postgres ─▶ Kafka, where the bus is to be one ─▶ the services ─▶ work ─▶ all of it is removed
 *
 * Ctrl-C goes the same way from wherever it is. After `kill -9` the servers and the services still end by themselves, as
 * their guards see to it, and only the folder stays.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Advice } from '../../scripts/lib/advice.js';
import { freePort, type PostgresServer, serverIn, startPostgres } from '../../scripts/lib/embedded-postgres.js';
import { type KafkaBroker, missingForKafka, startKafka } from '../../scripts/lib/kafka-broker.js';
import { createTopics } from '../../scripts/topics.js';
import { type Databases, freshDatabases, openShop, type Shop, type ShopOptions } from './open-shop.js';

export const buses = ['postgres', 'kafka'] as const;
export type Bus = (typeof buses)[number];

export interface TrialOptions extends Omit<ShopOptions, 'databases' | 'onOpening'> {
  readonly bus: Bus;
  /** Where the services are told that their databases are; default: where they are. */
  readonly by?: (databases: Databases) => Promise<Databases>;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** How long Postgres may take to start after a `kill -9`. */
const POSTGRES_BACK_WITHIN_MS = 30_000;

/**
 * Opens a shop, does the work, and closes everything, whatever becomes of the work. A signal to stop ends the process
 * with 130 once everything is gone.
 * @throws Advice when a server or a service does not start
 */
export async function onTrial<T>(options: TrialOptions, work: (trial: Trial) => Promise<T>): Promise<T> {
  const trial = new Trial(options);
  let interrupted = false;
  const interrupt = () => {
    // The terminal sends Ctrl-C to this process and to npm, which forwards it: a second one is ignored.
    if (interrupted) return;
    interrupted = true;
    process.stderr.write('\nClosing …\n');
    void trial.close({ abandoned: true }).finally(() => process.exit(130));
  };
  SIGNALS.forEach((signal) => process.on(signal, interrupt));
  process.stdout.on('error', interrupt); // The reader, such as `| head`, has closed the pipe.
  process.stderr.on('error', () => {});
  try {
    await trial.open();
    return await work(trial);
  } catch (error) {
    // What breaks because everything is being closed is no error.
    if (interrupted) await new Promise(() => {});
    throw error;
  } finally {
    await trial.close();
    SIGNALS.forEach((signal) => process.off(signal, interrupt));
  }
}

export class Trial {
  /** Where the servers keep their data and their logs. */
  readonly folder = mkdtempSync(join(tmpdir(), 'larder-trial-'));
  private opening: Promise<void> | undefined;
  private postgres: PostgresServer | undefined;
  private kafka: KafkaBroker | undefined;
  private opened: Shop | undefined;
  private closing: Promise<void> | undefined;

  constructor(private readonly options: TrialOptions) {}

  get shop(): Shop {
    return this.opened!;
  }

  open(): Promise<void> {
    this.opening ??= this.openAll();
    return this.opening;
  }

  private async openAll(): Promise<void> {
    const { bus, by = async (databases) => databases, ...options } = this.options;
    if (bus === 'kafka') {
      const missing = missingForKafka();
      if (missing) throw new Advice(`Kafka cannot be started here: ${missing}.`);
    }
    const port = await freePort();
    this.postgres = await this.startPostgres(port);
    if (bus === 'kafka' && !this.closing) {
      this.kafka = await startKafka({ folder: join(this.folder, 'kafka') });
      await createTopics(this.kafka.url);
    }
    if (this.closing) return;
    const databases = await by(await freshDatabases(this.postgres.url('postgres'), this.kafka?.url));
    if (this.closing) return;
    await openShop({ ...options, databases, onOpening: (shop) => (this.opened = shop) });
  }

  /** `kill -9` of the whole database server; resolves when it runs again, on the same port and data. */
  async crashPostgres(): Promise<void> {
    const { port, ended } = this.postgres!;
    process.kill((await serverIn(this.cluster))!.pid, 'SIGKILL');
    await ended;
    for (const giveUpAt = performance.now() + POSTGRES_BACK_WITHIN_MS; ; await sleep(100)) {
      try {
        this.postgres = await this.startPostgres(port);
        return;
      } catch (error) {
        // Its orphaned children still have the shared memory, for a moment.
        if (this.closing || performance.now() > giveUpAt) throw error;
      }
    }
  }

  /** `kill -9` of the broker; resolves when it runs again. */
  async crashKafka(): Promise<void> {
    await this.kafka!.kill();
    await this.kafka!.start();
  }

  /** Ends everything and removes what it has left; at once when it is `abandoned`. */
  close({ abandoned = false } = {}): Promise<void> {
    this.closing ??= (async () => {
      await this.opened?.close({ abandoned });
      await this.opening?.catch(() => {}); // A server on its way has to be there before it can be stopped.
      await this.opened?.close({ abandoned });
      await Promise.all([this.postgres?.stop(), this.kafka?.stop()]);
      rmSync(this.folder, { recursive: true, force: true });
    })();
    return this.closing;
  }

  private get cluster(): string {
    return join(this.folder, 'postgres');
  }

  private startPostgres(port: number): Promise<PostgresServer> {
    return startPostgres({ folder: this.cluster, port, log: join(this.folder, 'postgres.log'), disposable: true });
  }
}
