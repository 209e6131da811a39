/** What can be away, and how: it refuses connections, or takes them and says nothing. */
import { type Service, services } from '../../apps/shop.js';
import { PostgresConnection } from '#runtime/postgres';
import type { Shop } from '../shop/open-shop.js';
import type { Door } from './door.js';

/** What the services need, and the gateway. */
export type Server = 'Postgres' | 'the bus' | 'the payment provider' | 'the OpenID provider';

export interface Absence {
  /** `order refuses` */
  readonly name: string;
  readonly server?: Server;
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
      { server: 'Postgres' as const, doors: [databases, bus], lost: services },
      { server: 'the bus' as const, doors: [bus], lost: [] },
    ].flatMap(({ server, doors, lost }): Absence[] => {
      const end = async () => void (await Promise.all(doors.map((door) => door.open())));
      const one = { server, lost, listens: true, end };
      return [
        { ...one, name: `${server} refuses`, begin: () => doors.forEach((door) => door.close()) },
        { ...one, name: `${server} is silent`, begin: () => doors.forEach((door) => door.silence()) },
      ];
    }),
    {
      name: 'the payment provider is silent',
      server: 'the payment provider',
      lost: [],
      listens: true,
      begin: () => books.take(),
      end: () => books.giveBack(),
    },
    {
      name: 'the OpenID provider refuses',
      server: 'the OpenID provider',
      lost: [],
      listens: true,
      begin: () => shop.issuer.close(),
      end: () => shop.issuer.reopen(),
    },
    {
      name: 'the OpenID provider is silent',
      server: 'the OpenID provider',
      lost: [],
      listens: true,
      begin: () => void (shop.issuer.silent = true),
      end: () => void (shop.issuer.silent = false),
    },
  ];
}

/** How the gateway itself is away: what is open then has nobody to ask. */
export function gatewayAbsencesOf(shop: Shop): readonly Pick<Absence, 'name' | 'begin' | 'end'>[] {
  const pid = () => shop.gatewayPids[0]!;
  let restart: () => Promise<void>;
  return [
    {
      name: 'the gateway refuses',
      begin: () => void (restart = shop.killGateway()),
      end: () => restart(),
    },
    {
      name: 'the gateway is silent',
      begin: () => void process.kill(pid(), 'SIGSTOP'),
      end: () => void process.kill(pid(), 'SIGCONT'),
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
