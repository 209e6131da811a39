/** The answers of the gateway's own routes, for pages that read them. Times are ISO 8601 in UTC, positions decimal digits. */
import type { components } from '../../../libs/client/src/generated/order.js';

type Schemas = components['schemas'];

/** `GET /session`: who is logged in, and what they may do. */
export interface Session {
  /** Absent while nobody is. */
  readonly caller?: {
    readonly subject: string;
    readonly name: string;
    readonly roles: readonly string[];
    /** The operations of the gateway's access table that are for them: `POST /orders`. */
    readonly may: readonly string[];
  };
  /** To be sent as `Larder-CSRF` with every write. */
  readonly csrf?: string;
}

/** `POST /logout` */
export interface LoggedOut {
  /** Where the page goes now: to the provider, when there is a session of its own to end, or to the start. */
  readonly location: string;
}

/** `GET /admin/balance`: whether what is recorded of the latest orders agrees. */
export interface Balance {
  /** When they were compared. */
  readonly at: string;
  /** How many were compared. */
  readonly orders: number;
  /** How many of them are not settled yet. */
  readonly open: number;
  /** What the provider holds and has taken for them, less what it has given back. */
  readonly money: readonly {
    readonly currency: string;
    readonly heldMinor: number;
    readonly chargedMinor: number;
  }[];
  /** What disagrees, a sentence each; none when nothing is lost. */
  readonly disagreements: readonly string[];
  /** Why the books cannot be compared now: all else is then as it was before. */
  readonly problem?: string;
}

export type OrderPart = 'order' | 'reservation' | 'payment' | 'history';

/** `GET /orders/{id}/full`: each part as its service shows it. */
export interface FullOrder {
  readonly orderId: string;
  readonly complete: boolean;
  /** The parts that did not answer, or that the caller may not see. One that is neither here nor there is not there yet. */
  readonly missing: readonly OrderPart[];
  readonly order?: object;
  readonly reservation?: object;
  readonly payment?: object;
  readonly history?: object;
}

/** An event of one of the services. */
export type Fact = Omit<Schemas['StoryFact'], 'shown'>;

/** `GET /orders/{id}/story` */
export interface Story {
  readonly orderId: string;
  /** When it was told. */
  readonly at: string;
  readonly complete: boolean;
  /** The services that did not answer, or that the caller may not ask. */
  readonly missing: readonly string[];
  /** By time, and of one service by position. */
  readonly facts: readonly StoryFact[];
  readonly ahead?: Ahead;
  /** With the payment provider, oldest first; absent where payment tells nothing. */
  readonly exchanges?: readonly Exchange[];
  /** What went wrong meanwhile, by time: of a story from a simulated world, or from a crash that was made. The gateway knows none. */
  readonly troubles?: readonly StoryTrouble[];
}

export interface StoryTrouble {
  readonly at: string;
  /** Where it struck; absent when it concerns all. */
  readonly service?: string;
  readonly what: string;
  /** When it was over; absent where that is not told. */
  readonly until?: string;
}

/** A fact as a customer is told it: neither where it stands in the store, nor what led to it. */
export type CustomerFact = Omit<Fact, ForStaff>;

/** An event, and by read model since when that shows it. */
export type StoryFact = Omit<Schemas['StoryFact'], ForStaff> & Partial<Pick<Schemas['StoryFact'], ForStaff>>;

type ForStaff = 'position' | 'correlationId' | 'causationId';

/** What payment asked the provider, and was answered: `asked` and `answer` are ids of facts. */
export type Exchange = Schemas['Exchange'];

/** What is to come, as of now. */
export type Ahead = Schemas['Ahead'];

/** `GET /flow`: figures as of now. One that could not be read in time is left out. */
export interface Flow {
  readonly at: string;
  /** Whether every instance has told. */
  readonly complete: boolean;
  /** The services of which no instance has. */
  readonly missing: readonly string[];
  /** Each as one of its instances tells it, which is named. */
  readonly services: readonly Omit<Schemas['ServiceFlow'], 'circuits'>[];
  /** All that the gateway knows of. */
  readonly instances: readonly {
    readonly service: string;
    readonly url: string;
    /** 'ready', or 'there' when it only takes connections, or 'out'. */
    readonly state: 'ready' | 'there' | 'out';
    /** What it calls itself, as the holder of a lease, too. This and its circuits are absent when it did not answer. */
    readonly name?: string;
    /** By what it calls. */
    readonly circuits?: Readonly<Record<string, CircuitState>>;
  }[];
  /** The one that answers. */
  readonly gateway: {
    readonly name: string;
    /** By service. */
    readonly circuits: Readonly<Record<string, CircuitState>>;
    /** Of its `GET /stream`. */
    readonly readers: number;
  };
}

export type CircuitState = Schemas['ServiceFlow']['circuits'][string];

/** The events of `GET /stream`, by their names. */
export interface StreamEvents {
  /** First of all: its id is what comes before. */
  readonly begin: Record<string, never>;
  /** A customer is told those of their own orders, as much as the order's story tells them, and neither `shown` nor `lag`. */
  readonly fact: Fact | CustomerFact;
  /** A read model has reached a position. */
  readonly shown: {
    readonly service: string;
    readonly readModel: string;
    readonly position: string;
    readonly at: string;
  };
  /** Once a second. */
  readonly lag: {
    readonly service: string;
    readonly at: string;
    readonly head: string;
    readonly readModels: Readonly<Record<string, string>>;
    readonly relay?: string;
    readonly unread: number;
    readonly deadLetters: number;
  };
  /** The services that cannot be followed at present: whenever that changes, and first of all. */
  readonly away: { readonly services: readonly string[] };
  /** What happened since is not known here: read everything anew. */
  readonly resync: Record<string, never>;
  /** Every five seconds, so that a page knows that the gateway is there. */
  readonly beat: Record<string, never>;
}
