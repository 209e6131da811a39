/** The answers of the gateway's own routes, for pages that read them. Times are ISO 8601 in UTC, positions decimal digits. */

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
export interface Fact {
  readonly id: string;
  readonly service: string;
  readonly stream: string;
  readonly revision: number;
  readonly position: string;
  readonly type: string;
  readonly data: object;
  readonly recordedAt: string;
  readonly correlationId: string;
  readonly causationId: string;
  readonly traceparent?: string;
  readonly actor?: string;
  readonly reason?: string;
  /** The message that led to it; absent when a request or a loop did. */
  readonly message?: { readonly topic: string; readonly partition: number; readonly offset: string };
}

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
}

/** A customer is not told where it stands in the store, nor what led to it. */
export interface StoryFact
  extends
    Omit<Fact, 'position' | 'correlationId' | 'causationId'>,
    Partial<Pick<Fact, 'position' | 'correlationId' | 'causationId'>> {
  /**
   * By read model: since when it shows the fact; null while it does not. One that never shows it is not named, nor one of
   * which that is no longer known.
   */
  readonly shown: Readonly<Record<string, string | null>>;
}

/** What is to come, as of now. */
export interface Ahead {
  readonly awaits: readonly {
    readonly what: string;
    readonly from: string;
    readonly since: string;
    readonly reminderAt?: string;
  }[];
  readonly deadlineAt?: string;
  /** What a person could do at this instant, and what it would do, by the decider itself. */
  readonly choices: readonly {
    readonly name: string;
    readonly allowed: boolean;
    /** Of the refusal, when it is not allowed. */
    readonly code?: string;
    readonly detail: string;
  }[];
}
