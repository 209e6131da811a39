/** What can be away, and how: it refuses connections, or takes them and says nothing. */
import { type Service, services } from '../../apps/shop.js';
import { PostgresConnection } from '#runtime/postgres';
import type { Shop } from '../shop/open-shop.js';
import type { Door } from './door.js';

export interface Absence {
  /** `order refuses` */
  readonly name: string;
  /** The services that cannot do their work meanwhile. */
  readonly lost: readonly Service[];
  /** Whether these services themselves are there: they answer what needs no server. */
  readonly listens: boolean;
  begin(): Promise<void> | void;
  end(): Promise<void> | void;
}

export interface Doors {
  /** Before the databases of the services. */
  readonly databases: Door;
  readonly bus: Door;
}

export function absencesOf(shop: Shop, { databases, bus }: Doors, postgres: { payment: string }): readonly Absence[] {
  const books = new Books(postgres.payment);
  return [
    ...services.flatMap((service): Absence[] => [
      {
        name: `${service} refuses`,
        lost: [service],
        listens: false,
        begin: () => shop.kill(service),
        end: () => shop.restart(service),
      },
      {
        name: `${service} is silent`,
        lost: [service],
        listens: false,
        begin: () => void process.kill(shop.pids.get(`${service} 1`)!, 'SIGSTOP'),
        end: () => void process.kill(shop.pids.get(`${service} 1`)!, 'SIGCONT'),
      },
    ]),
    ...[
      { name: 'Postgres', doors: [databases, bus], lost: services },
      { name: 'the bus', doors: [bus], lost: [] },
    ].flatMap(({ name, doors, lost }): Absence[] => {
      const end = async () => void (await Promise.all(doors.map((door) => door.open())));
      return [
        { name: `${name} refuses`, lost, listens: true, begin: () => doors.forEach((door) => door.close()), end },
        { name: `${name} is silent`, lost, listens: true, begin: () => doors.forEach((door) => door.silence()), end },
      ];
    }),
    {
      name: 'the payment provider is silent',
      lost: [],
      listens: true,
      begin: () => books.take(),
      end: () => books.giveBack(),
    },
    {
      name: 'the OpenID provider refuses',
      lost: [],
      listens: true,
      begin: () => shop.issuer.close(),
      end: () => shop.issuer.reopen(),
    },
    {
      name: 'the OpenID provider is silent',
      lost: [],
      listens: true,
      begin: () => void (shop.issuer.silent = true),
      end: () => void (shop.issuer.silent = false),
    },
  ];
}

/** The books of the simulated provider: who has them lets it answer nobody. */
class Books {
  private client: PostgresConnection | undefined;

  constructor(private readonly url: string) {}

  async take(): Promise<void> {
    this.client = new PostgresConnection({ connectionString: this.url });
    await this.client.connect();
    await this.client.query('BEGIN');
    await this.client.query('LOCK TABLE simulated_payments IN ACCESS EXCLUSIVE MODE');
  }

  async giveBack(): Promise<void> {
    await this.client?.end();
  }
}
