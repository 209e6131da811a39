/**
 * Messages that could not be handled yet wait here: one waiting line per key, so that a failing message holds up its own
 * key and nothing else.
 *
 *                      handled                       ┌── retry ──┐
 *   park ──▶ due ──────────────────▶ (removed)       ▼           │
 *             ▲ │                                   due        dead ── skip ──▶ (removed)
 *             └─┘ failed: later again; after the last attempt ───▶       both recorded with who and why
 *
 * Only the first of a line can be due. A line with a dead first message waits until a person decides. Consumers use
 * `ParkedMessages`, operators use `DeadLetters`; one adapter implements both.
 */
import type { Delivered } from './port.js';

export interface ParkedMessage {
  /** The place in the line: lower is earlier. */
  readonly id: bigint;
  readonly consumer: string;
  readonly message: Delivered;
  /** How often it was tried; 0 while it waits behind another message, or for a server. */
  readonly attempts: number;
  readonly error: string;
  readonly parkedAt: Date;
  readonly nextAttemptAt: Date;
  /** Set when the retries are used up: from then on a person decides. */
  readonly deadAt?: Date;
}

/** How an attempt failed, and when the next one is due; no other attempt follows when `deadAt` is set. */
export type Failure = Pick<ParkedMessage, 'attempts' | 'error' | 'nextAttemptAt' | 'deadAt'>;

/** A person's decision about a dead letter. */
export interface Resolution {
  /** A UUID. */
  readonly id: string;
  /** 'retry' starts its attempts over; 'skip' takes it out of the line. */
  readonly action: 'retry' | 'skip';
  readonly actor: string;
  readonly reason: string;
  readonly at: Date;
  /** Of the request that decided; decisions about many dead letters at once share it. */
  readonly correlationId?: string | undefined;
}

/** Which dead letters are meant: those to which everything applies that is given. */
export interface DeadLetterFilter {
  readonly topic?: string | undefined;
  readonly type?: string | undefined;
  /** What the error begins with. */
  readonly error?: string | undefined;
}

/** Dead letters that have failed alike. */
export interface DeadLetterKind {
  readonly topic: string;
  readonly type: string;
  /** What their errors begin with: see `beginningOf`. */
  readonly error: string;
  readonly count: number;
}

/**
 * Where an error begins to differ from letter to letter: at a number or a UUID that it does not begin with. For JavaScript
 * and for Postgres.
 */
export const DIFFERS = '(?<=[^A-Za-z0-9_.])([0-9]|[0-9a-f]{8}-[0-9a-f]{4}-).*$';
/** How many characters of an error tell its kind. */
export const TELLING = 200;
/** How many dead letters are looked at to tell the kinds. */
export const LOOKED_AT = 10_000;

/** What an error has in common with others of its kind. */
export function beginningOf(error: string): string {
  return Array.from(error).slice(0, TELLING).join('').replace(new RegExp(DIFFERS, 'su'), '');
}

/**
 * What became of a dead letter after a decision: it was given up; it waits for its next attempt; it was handled; or its
 * attempts are used up again.
 */
export type Outcome = 'skipped' | 'waiting' | 'handled' | 'dead-again';

/** A decision as it is stored, with the message as it was then. */
export interface RecordedResolution
  extends Resolution, Pick<ParkedMessage, 'consumer' | 'message' | 'attempts' | 'error'> {
  /** The id that the message had as a dead letter; undefined for decisions from before this was stored. */
  readonly deadLetter: bigint | undefined;
  /** As of now; undefined where `deadLetter` is, for a retry. */
  readonly outcome: Outcome | undefined;
}

export interface ResolutionPage {
  readonly deadLetter?: bigint;
  readonly after?: Pick<Resolution, 'at' | 'id'> | undefined;
  readonly limit: number;
}

export abstract class ParkedMessages {
  /** Which of these keys have a line; undefined when no key at all has one. */
  abstract parkedKeys(consumer: string, keys: readonly string[]): Promise<ReadonlySet<string> | undefined>;

  /** Appends messages to their keys' lines, in this order. One that is in a line already keeps its place. */
  abstract park(
    consumer: string,
    messages: readonly (Failure & { readonly message: Delivered })[],
    now: Date,
  ): Promise<void>;

  /**
   * The first messages of their lines that are due at `now`, longest due first, at most `limit`: no two of one key, and
   * none of the keys `except`.
   */
  abstract due(consumer: string, now: Date, limit: number, except?: readonly string[]): Promise<ParkedMessage[]>;

  /**
   * Removes the handled messages from their lines, and stores how the others failed. Returns what follows the handled
   * ones in their lines, in order, at most `limit` of each line: with a handled message that failed in a line, nothing.
   */
  abstract recordRetries(
    handled: readonly bigint[],
    failed: readonly (Failure & { readonly id: bigint })[],
    limit?: number,
  ): Promise<ParkedMessage[]>;
}

/** The parked messages that wait for a person. */
export abstract class DeadLetters {
  /** The dead letters of all consumers with an id from `from` on, in order of their ids, at most `limit`. */
  abstract listDead(from: bigint, limit: number, filter?: DeadLetterFilter): Promise<ParkedMessage[]>;

  /** How many there are. */
  abstract countDead(filter?: DeadLetterFilter): Promise<number>;

  /** Of the oldest 10,000, the kinds of which there are most, at most `limit`; and how many of all are not counted there. */
  abstract countKinds(limit: number, filter?: DeadLetterFilter): Promise<{ kinds: DeadLetterKind[]; others: number }>;

  /** Carries out a person's decision and records it, both or neither. Undefined when there is no such dead letter. */
  abstract resolve(id: bigint, decision: Resolution): Promise<ParkedMessage | undefined>;

  /**
   * Carries out a person's decision about the first dead letters that match, with an id from `from` on, at most one for
   * each of `decisionIds`, and records it for each of them, all or nothing. Returns their ids, in order. Of several calls
   * at the same time, one decides about a letter, and the others about those that follow.
   */
  abstract resolveMany(
    from: bigint,
    filter: DeadLetterFilter,
    decision: Omit<Resolution, 'id'>,
    decisionIds: readonly string[],
  ): Promise<bigint[]>;

  /**
   * What people decided, the latest first, at most `limit`: about one dead letter or all of them. With `after`, the time
   * and the id of a decision, only those that follow it in this order.
   */
  abstract resolutions(page: ResolutionPage): Promise<RecordedResolution[]>;
}
