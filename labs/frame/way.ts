/**
 * What a lab is: ways of doing the same checkout. The frame gives all of them the same load, kills each at its durable
 * steps, and judges what is left by the same rules.
 */
import type { Moment, Watch } from './watch.js';

/** Who takes part in a checkout. Each keeps books of its own, in a schema of its name; the provider is another company. */
export const participants = ['order', 'inventory', 'payment', 'provider'] as const;
export type Participant = (typeof participants)[number];

/** The URL of each participant's database: the same for those that share one. */
export type Databases = Readonly<Record<Participant, string>>;

/** What a customer wants. */
export interface Wanted {
  readonly orderId: string;
  readonly customer: string;
  readonly lines: readonly { readonly sku: string; readonly quantity: number }[];
  readonly token: 'approved' | 'declined';
}

/** A process that takes orders in one way. */
export interface Checkout {
  /** Resolves when the order is final, as far as this way brings it. */
  place(wanted: Wanted): Promise<void>;
  /** What is done after a crash, by a new process that knows nothing but what is stored. */
  recover(): Promise<void>;
  close(): Promise<void>;
}

export interface Way {
  readonly name: string;
  /** How it is wrong, for one that teams write all the same. */
  readonly wrong?: string;
  /** The steps after which something outside of the process is different, in their order: it is killed before and after each. */
  readonly steps: readonly string[];
  /** Under `labs/`: what counts as its lines of code. */
  readonly file: string;
  /** What has to be up for an order to be taken. */
  readonly needs: string;
  /** What has to be installed, or allowed, at each participant. */
  readonly installs: string;
  open(databases: Databases, watch: Watch, providerMs?: number): Checkout;
}

/** A table of figures that only one lab has. */
export interface Table {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface Lab {
  readonly name: string;
  readonly title: string;
  /** The server that each participant's database is on, by any name: a name that occurs twice is one database. */
  readonly servers: Readonly<Record<Participant, string>>;
  /** What the servers need to be set to, by the names of Postgres' parameters. */
  readonly settings: Readonly<Record<string, string>>;
  /** The wrong ones first. */
  readonly ways: readonly Way[];
  /** The names of the ways that the picture shows. */
  readonly pictured: readonly string[];
  /** The kill that the picture shows, if there is one that says more than the tables. */
  readonly picturedKill?: { readonly way: string; readonly step: string; readonly moment: Moment };
  /** What the lab shows beyond the checkout; `times` is how often each case is tried. */
  tables(databases: Databases, times: number): Promise<Table[]>;
}
