/**
 * `Larder-Position: order:4711`: a write answers with its position in its service's store, a read with the position up to
 * which it has seen it. A read that sends such a position back waits until its read model has reached it, on any instance.
 * A caller of several services may send the positions of all, separated by commas; a service looks at its own.
 *
 *   the read model has reached it ──────────────────────────▶ query ──▶ answer with the checkpoint as it is now
 *   it has not ─▶ the store has no such position: 400           ▲
 *                 otherwise wait ───────────────────────────────┤
 *                   └── for longer than READ_TIMEOUT: 503, Retry-After, and the lag
 *
 * docs/consistency.md lists what this promises and what it does not.
 */
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { topics } from '#contracts';
import type { EventStore } from '#event-store';
import { type AnyProjection, type Tables, waitForPosition } from '#projections';
import { type Clock, shareCalls } from '#runtime';
import { extendDeadline } from './deadlines.js';
import { POSITION_HEADER, PROVES_HEADER } from './position-header.js';
import { Problem, tryAgain } from './problem.js';
import { onRoute, refuses, takesHeader } from './route.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** The service's name in a Larder-Position, and how long a read waits for one, in milliseconds. */
    larder: { readonly name: string; readonly readTimeoutMs: number };
  }
}

/** Every service: a caller may send the positions that it has of each. */
const SERVICES = topics.map(({ source }) => source.replace('/', ''));

/** An entry of the header, for the document. */
const ENTRY = `(${SERVICES.join('|')}):[0-9]{1,19}`;

/** A position is a bigint of Postgres or KurrentDB: 64 bits. */
export const MAX_POSITION = 2n ** 63n - 1n;

/**
 * The position of `service` in a header, the highest if there are several; undefined if there is none.
 * @throws Problem 400 `invalid-position` when an entry is not `<service>:<number>`, `unknown-position` when no such service
 * exists
 */
export function parsePosition(service: string, header: string | string[] | undefined): bigint | undefined {
  if (header === undefined) return undefined;
  let found: bigint | undefined;
  for (const entry of String(header).split(',')) {
    const [, name, digits] = /^\s*([a-z][a-z0-9-]*):(\d{1,19})\s*$/.exec(entry) ?? [];
    const position = digits === undefined ? undefined : BigInt(digits);
    if (name === undefined || position === undefined || position > MAX_POSITION) {
      throw new Problem(
        400,
        'invalid-position',
        `${POSITION_HEADER} is malformed. Send it as an answer gave it, for example ${service}:4711, or leave it out.`,
      );
    }
    if (!SERVICES.includes(name)) {
      throw new Problem(
        400,
        'unknown-position',
        `${POSITION_HEADER} names a service that does not exist, "${name}". Send positions of ${SERVICES.join(', ')}.`,
      );
    }
    if (name === service && (found === undefined || position > found)) found = position;
  }
  return found;
}

/** The header of an answer, for `answers`. */
export const positionHeader = {
  [POSITION_HEADER]: {
    description: 'Sent with a later read, it makes that read show no less than this answer does.',
    schema: { type: 'string' as const, pattern: '^[a-z][a-z0-9-]*:[0-9]{1,19}$', example: 'order:4711' },
  },
};

/** The headers of a read's answer, for `answers`. */
export const readHeaders = {
  ...positionHeader,
  [PROVES_HEADER]: {
    description:
      'This answer shows at least all up to here, so it may stand for a read with such a position or a lower one. ' +
      'Larder-Position may be higher, and this is absent from the answer to a read that sent none.',
    schema: positionHeader[POSITION_HEADER].schema,
  },
};

/**
 * `@AfterPosition() after: bigint | undefined`: the position that a request has to see; undefined when the caller named
 * none of this service. Extends the request's deadline by READ_TIMEOUT, the longest wait.
 */
export const AfterPosition = createParamDecorator(
  (_data: unknown, context: ExecutionContext): bigint | undefined => {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const { name, readTimeoutMs } = request.server.larder;
    const position = parsePosition(name, request.headers['larder-position']);
    if (position !== undefined) extendDeadline(request, readTimeoutMs);
    return position;
  },
  [
    onRoute(
      takesHeader(POSITION_HEADER, {
        required: false,
        description:
          'The header of earlier answers, of one service or, separated by commas, of several: this request then sees no ' +
          'less than they did.',
        schema: { type: 'string', pattern: `^${ENTRY}( *, *${ENTRY})*$`, example: 'order:4711' },
      }),
      refuses(400, 'invalid-position', 'unknown-position'),
      refuses(503, 'read-model-behind'),
    ),
  ],
);

/**
 * The position for the answer to a read that showed the store up to `shown`. It never falls below what the caller sent,
 * so a caller may keep the latest answer's alone.
 */
export function answerPosition(after: bigint | undefined, shown: bigint): bigint {
  return after !== undefined && after > shown ? after : shown;
}

/** What a query found, and the positions to answer with. */
export interface Found<T> {
  readonly found: T;
  readonly position: bigint;
  /** Where the read model was before the query; undefined when nobody asked. */
  readonly proves: bigint | undefined;
}

/** Lets reads see what their callers have written and seen. */
export class ReadYourWrites {
  private readonly head: (atLeast: bigint) => Promise<bigint>;
  private readonly checkpoints = new Map<string, () => Promise<bigint>>();

  constructor(
    private readonly ports: {
      readonly store: Pick<EventStore, 'head'>;
      readonly tables: Pick<Tables, 'checkpoint'>;
      readonly clock: Clock;
    },
    private readonly timeoutMs: number,
    /** Ends all waiting. */
    private readonly stopping: AbortSignal,
  ) {
    this.head = shareCalls((atLeast) => ports.store.head(atLeast));
  }

  /**
   * Returns what `query` finds in a read model that has reached the caller's position. The position to answer with is the
   * checkpoint after the query: one that was read before it could be behind the rows, and so could the next read, on a
   * database that lags. What the rows prove is the checkpoint before it: events that came in between may not be in them.
   * @throws Problem 503 `read-model-behind`, with the lag in positions, when that takes too long
   * @throws Problem 400 `unknown-position` when the store has not reached the position
   */
  async read<T>(projection: AnyProjection, after: bigint | undefined, query: () => Promise<T>): Promise<Found<T>> {
    const checkpoint = this.checkpointOf(projection);
    const proves = after === undefined ? undefined : await this.awaitCheckpoint(checkpoint, projection, after);
    const found = await query();
    return { found, position: answerPosition(after, await checkpoint()), proves };
  }

  /**
   * For what is read from the store itself, which is never behind. `named` is what the caller knows the position by.
   * @throws Problem 400 `unknown-position` when the store has not reached the position
   */
  async refuseUnknown(after: bigint | undefined, named: string = POSITION_HEADER): Promise<void> {
    if (after === undefined) return;
    // A position is given out after its append, so a head that is read now is not before it.
    const head = await this.head(after);
    if (after <= head) return;
    throw new Problem(
      400,
      'unknown-position',
      `${named} is beyond the last event, ${head}: it belongs to another store, or to this one before it was ` +
        'restored from a backup. Leave it out.',
    );
  }

  /** Returns a checkpoint that is not before `position`. */
  private async awaitCheckpoint(
    checkpoint: () => Promise<bigint>,
    projection: AnyProjection,
    position: bigint,
  ): Promise<bigint> {
    const current = await checkpoint();
    if (current >= position) return current;
    await this.refuseUnknown(position);
    const { clock } = this.ports;
    const tables = { checkpoint } as Partial<Tables> as Tables; // It calls nothing else.
    const wait = { tables, projection, position, clock, timeoutMs: this.timeoutMs, signal: this.stopping };
    if (await waitForPosition(wait)) return position;
    const lag = Number(position - (await checkpoint()));
    throw tryAgain('read-model-behind', `The read model is ${lag} positions behind ${POSITION_HEADER}. Try again.`, {
      lag,
    });
  }

  private checkpointOf(projection: AnyProjection): () => Promise<bigint> {
    let checkpoint = this.checkpoints.get(projection.name);
    if (checkpoint === undefined) {
      checkpoint = shareCalls(() => this.ports.tables.checkpoint(projection));
      this.checkpoints.set(projection.name, checkpoint);
    }
    return checkpoint;
  }
}
