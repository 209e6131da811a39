/**
 * `Larder-Position: order:4711`, read your writes: a write answers with its place in its service's store, and a read
 * that sends it back waits until its read model has got that far. A caller of several services may send what it has of
 * each, separated by commas; a service looks at its own.
 */
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { type Projection, type Tables, waitForPosition } from '#projections';
import type { Clock } from '#runtime';
import { documentedParameter } from './openapi.js';
import { Problem, tryAgain } from './problem.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** What the service is called in a Larder-Position, and how long a read waits for one, in milliseconds. */
    larder: { readonly name: string; readonly readTimeoutMs: number };
  }
}

/** The header of an answer. */
export const POSITION_HEADER = 'Larder-Position';

export function formatPosition(service: string, position: bigint): string {
  return `${service}:${position}`;
}

/** A position is a bigint of Postgres or KurrentDB: 64 bits. */
const MAX_POSITION = 2n ** 63n - 1n;

/**
 * The position of `service` in a header, the highest where it stands there more than once; undefined when there is none.
 * @throws Problem 400 `invalid-position` when an entry is not `<service>:<number>`
 */
export function parsePosition(service: string, header: string | string[] | undefined): bigint | undefined {
  if (header === undefined) return undefined;
  let found: bigint | undefined;
  for (const entry of String(header).split(',')) {
    const [, name, digits] = /^\s*([a-z][a-z0-9-]*):(\d{1,19})\s*$/.exec(entry) ?? [];
    const position = digits === undefined ? undefined : BigInt(digits);
    if (position === undefined || position > MAX_POSITION) {
      throw new Problem(
        400,
        'invalid-position',
        `${POSITION_HEADER} is as a write gave it, for example ${service}:4711.`,
      );
    }
    if (name === service && (found === undefined || position > found)) found = position;
  }
  return found;
}

/** `@AfterPosition() after: bigint | undefined`: the position that a read has to wait for. The deadline moves by the wait. */
export const AfterPosition = createParamDecorator(
  (_data: unknown, context: ExecutionContext): bigint | undefined => {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const { name, readTimeoutMs } = request.server.larder;
    const position = parsePosition(name, request.headers['larder-position']);
    if (position !== undefined) request.dueMs += readTimeoutMs;
    return position;
  },
  [
    documentedParameter(({ ApiHeader }) =>
      ApiHeader({
        name: POSITION_HEADER,
        required: false,
        description: 'As an earlier write answered it: this read then sees that write.',
        schema: { type: 'string', example: 'order:4711' },
      }),
    ),
  ],
);

/** Lets reads see what their callers wrote. */
export class ReadYourWrites {
  constructor(
    private readonly ports: { readonly tables: Tables; readonly clock: Clock },
    private readonly timeoutMs: number,
    /** Ends all waiting. */
    private readonly stopping: AbortSignal,
  ) {}

  /**
   * Resolves when a projection has got to `after`; at once when that is undefined.
   * @throws Problem 503 `read-model-behind`, with the lag in positions, when that takes too long
   */
  async caughtUp(projection: Projection<any, any>, after: bigint | undefined): Promise<void> {
    if (after === undefined) return;
    const wait = { ...this.ports, projection, position: after, timeoutMs: this.timeoutMs, signal: this.stopping };
    if (await waitForPosition(wait)) return;
    const lag = Number(after - (await this.ports.tables.checkpoint(projection)));
    throw tryAgain('read-model-behind', `The read model is ${lag} positions behind. Try again.`, { lag });
  }
}
