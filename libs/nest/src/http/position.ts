/**
 * `Larder-Position: order:4711`: a write answers with its place in its service's store, a read with the place up to
 * which it saw. A read that sends such a position back waits until its read model has got that far, on any instance. A
 * caller of several services may send what it has of each, separated by commas; a service looks at its own.
 *
 *   the read model is there ────────────────────────────────▶ query ──▶ answer with the checkpoint as it is now
 *   it is not ──▶ the store does not know the position: 400     ▲
 *                 otherwise wait ───────────────────────────────┤
 *                   └── for longer than READ_TIMEOUT: 503, Retry-After, and how far it is behind
 *
 * What this promises, and what not, stands in docs/consistency.md.
 */
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { topics } from '#contracts';
import type { EventStore } from '#event-store';
import { type AnyProjection, type Tables, waitForPosition } from '#projections';
import type { Clock } from '#runtime';
import { documentedParameter, onRoute, refuses } from './openapi.js';
import { Problem, tryAgain } from './problem.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** What the service is called in a Larder-Position, and how long a read waits for one, in milliseconds. */
    larder: { readonly name: string; readonly readTimeoutMs: number };
  }
}

const POSITION_HEADER = 'Larder-Position';

/** The services there are: a caller may send what it has of each of them. */
const SERVICES = topics.map(({ source }) => source.replace('/', ''));

export function formatPosition(service: string, position: bigint): string {
  return `${service}:${position}`;
}

/** A position is a bigint of Postgres or KurrentDB: 64 bits. */
const MAX_POSITION = 2n ** 63n - 1n;

/**
 * The position of `service` in a header, the highest where it stands there more than once; undefined when there is none.
 * @throws Problem 400 `invalid-position` when an entry is not `<service>:<number>`, `unknown-position` when there is no
 * such service
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
        `${POSITION_HEADER} is not as an answer gave it, for example ${service}:4711. Send it unchanged, or leave it out.`,
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

/** The header of an answer, for its `@ApiResponse({ headers })`. */
export const positionHeader = {
  [POSITION_HEADER]: {
    description: 'Sent back with a read, it lets that read show no less than this answer does.',
    schema: { type: 'string' as const, example: 'order:4711' },
  },
};

/** `@WrittenAt() writtenAt: (position: bigint) => void`: a write says where its facts stand, and the answer carries it. */
export const WrittenAt = createParamDecorator((_data: unknown, context: ExecutionContext) => {
  const [request, reply] = requestAndReply(context);
  const { name } = request.server.larder;
  return (position: bigint) => void reply.header(POSITION_HEADER, formatPosition(name, position));
});

/** The position that a read has to wait for, and the one that it answers with. */
export interface After {
  /** Undefined when the caller named none of this service. */
  readonly position: bigint | undefined;
  /**
   * Answers with a position that is not before what is shown. The header never falls below what the caller sent, so a
   * caller may keep the latest answer alone.
   */
  showing(position: bigint): void;
}

/** `@AfterPosition() after: After`. The request's deadline moves by the wait. */
export const AfterPosition = createParamDecorator(
  (_data: unknown, context: ExecutionContext): After => {
    const [request, reply] = requestAndReply(context);
    const { name, readTimeoutMs } = request.server.larder;
    const position = parsePosition(name, request.headers['larder-position']);
    if (position !== undefined) request.dueMs += readTimeoutMs;
    return {
      position,
      showing(shown) {
        const highest = position !== undefined && position > shown ? position : shown;
        reply.header(POSITION_HEADER, formatPosition(name, highest));
      },
    };
  },
  [
    documentedParameter(({ ApiHeader }) =>
      ApiHeader({
        name: POSITION_HEADER,
        required: false,
        description:
          'As earlier answers gave it, of one service or, separated by commas, of several: this read then shows no less ' +
          'than they did.',
        schema: { type: 'string', example: 'order:4711' },
      }),
    ),
    onRoute(refuses(400, 'invalid-position', 'unknown-position')),
    onRoute(refuses(503, 'read-model-behind', 'unavailable')),
  ],
);

function requestAndReply(context: ExecutionContext): [FastifyRequest, FastifyReply] {
  const http = context.switchToHttp();
  return [http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>()];
}

/** Lets reads see what their callers have written and seen. */
export class ReadYourWrites {
  private readonly head: () => Promise<bigint>;
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
    this.head = shared(() => ports.store.head());
  }

  /**
   * What `query` finds in a read model that has got to the caller's position. The answer's position is the checkpoint
   * after the query: one that was read before it could be behind the rows, and the next read, on a database that lags,
   * too.
   * @throws Problem 503 `read-model-behind`, with the lag in positions, when that takes too long
   * @throws Problem 400 `unknown-position` when the store has not got that far
   */
  async read<T>(projection: AnyProjection, after: After, query: () => Promise<T>): Promise<T> {
    const checkpoint = this.checkpointOf(projection);
    if (after.position !== undefined) await this.caughtUp(checkpoint, projection, after.position);
    const found = await query();
    after.showing(await checkpoint());
    return found;
  }

  /**
   * For what is read from the store itself, which is never behind.
   * @throws Problem 400 `unknown-position` when the store has not got that far
   */
  async refuseUnknown({ position }: Pick<After, 'position'>): Promise<void> {
    if (position === undefined) return;
    // Whoever was given a position was given it after the append, so a head that is read now is not before it.
    const head = await this.head();
    if (position <= head) return;
    throw new Problem(
      400,
      'unknown-position',
      `${POSITION_HEADER} is beyond the last event there is, ${head}: it is of another store, or of this one before it ` +
        'was set back. Leave it out.',
    );
  }

  private async caughtUp(checkpoint: () => Promise<bigint>, projection: AnyProjection, position: bigint) {
    if ((await checkpoint()) >= position) return;
    await this.refuseUnknown({ position });
    const { clock } = this.ports;
    const tables = { checkpoint } as Partial<Tables> as Tables; // It asks for nothing else.
    const wait = { tables, projection, position, clock, timeoutMs: this.timeoutMs, signal: this.stopping };
    if (await waitForPosition(wait)) return;
    const lag = Number(position - (await checkpoint()));
    throw tryAgain('read-model-behind', `The read model is ${lag} positions behind ${POSITION_HEADER}. Try again.`, {
      lag,
    });
  }

  private checkpointOf(projection: AnyProjection): () => Promise<bigint> {
    let checkpoint = this.checkpoints.get(projection.name);
    if (checkpoint === undefined) {
      checkpoint = shared(() => this.ports.tables.checkpoint(projection));
      this.checkpoints.set(projection.name, checkpoint);
    }
    return checkpoint;
  }
}

/**
 * Lets all who ask share one look at a time, so that a thousand who wait cost the database as much as one. A look that
 * is under way is too old for somebody who asks now; they share the next, which begins when it has ended.
 */
function shared<T>(look: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<unknown> = Promise.resolve();
  let next: Promise<T> | undefined;
  return () => {
    next ??= underWay.then(() => {
      next = undefined;
      const looking = look();
      underWay = looking.catch(() => {});
      return looking;
    });
    return next;
  };
}
