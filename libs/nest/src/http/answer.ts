/**
 * What a handler answers is what it returns: a body, or an `Answer` when it also has a position, a location or another
 * status than its route's. One hook of Fastify writes those into the response: an interceptor of Nest would make an
 * observable of every request, which is a twentieth of what the service computes for an order.
 *
 *   handler ──▶ Answer(body, head) ──▶ Nest ──▶ unwrapAnswers ──▶ status and headers
 *                                                     └────────▶ body ──▶ JSON
 */
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { formatPosition, POSITION_HEADER, PROVES_HEADER } from './position-header.js';

export interface AnswerHead {
  /** Default: the status of the route's first `answers`. */
  readonly status?: number;
  /** `Larder-Position`: where the write is in this service's store, or up to where the read has seen it. */
  readonly position?: bigint | undefined;
  /** `Larder-Proves`: up to where a read surely shows the store; undefined when it does not know. */
  readonly proves?: bigint | undefined;
  /** `Location`: the path of what was created. */
  readonly location?: string;
  /** `Preference-Applied`: the wait that was asked for and granted, in milliseconds. */
  readonly waitedMs?: number | undefined;
}

export class Answer<T> {
  constructor(
    readonly body: T,
    readonly head: AnswerHead = {},
  ) {}
}

export type WriteHead = (head: AnswerHead) => void;

/**
 * `@WriteHead() writeHead: WriteHead`: writes what is already known of the answer, so that a problem has it, too. For a
 * handler that goes on after it has written something, and may fail.
 */
export const WriteHead = createParamDecorator((_data: unknown, context: ExecutionContext): WriteHead => {
  const http = context.switchToHttp();
  const [request, reply] = [http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>()];
  return (head) => writeHead(head, request, reply);
});

/** Has what handlers answer written into the response, after Nest has given it the status of the route. */
export function unwrapAnswers(http: FastifyInstance): void {
  http.addHook('preSerialization', (request, reply, answer, done) => {
    if (!(answer instanceof Answer)) return done(null, answer);
    writeHead(answer.head, request, reply);
    done(null, answer.body);
  });
}

function writeHead(head: AnswerHead, request: FastifyRequest, reply: FastifyReply) {
  const { status, position, proves, location, waitedMs } = head;
  const { name } = request.server.larder;
  if (status !== undefined) reply.status(status);
  if (position !== undefined) reply.header(POSITION_HEADER, formatPosition(name, position));
  if (proves !== undefined) reply.header(PROVES_HEADER, formatPosition(name, proves));
  if (location !== undefined) reply.header('Location', location);
  if (waitedMs !== undefined) reply.header('Preference-Applied', `wait=${waitedMs / 1_000}`);
}
