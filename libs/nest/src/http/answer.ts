/**
 * What a handler answers is what it returns: a body, or an `Answer` when it also has a position, a location or another
 * status than its route's. One interceptor writes those into the response.
 *
 *   handler ──▶ Answer(body, head) ──▶ AnswerInterceptor ──▶ status and headers
 *                                            └────────────▶ body ──▶ Nest
 */
import { type CallHandler, createParamDecorator, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { map, type Observable } from 'rxjs';
import { formatPosition, POSITION_HEADER } from './position-header.js';

export interface AnswerHead {
  /** Default: the status of the route's first `answers`. */
  readonly status?: number;
  /** `Larder-Position`: where the write is in this service's store, or up to where the read has seen it. */
  readonly position?: bigint | undefined;
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

export class AnswerInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler<unknown>): Observable<unknown> {
    const http = context.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const reply = http.getResponse<FastifyReply>();
    return next.handle().pipe(
      map((answer) => {
        if (!(answer instanceof Answer)) return answer;
        writeHead(answer.head, request, reply);
        return answer.body as unknown;
      }),
    );
  }
}

function writeHead({ status, position, location, waitedMs }: AnswerHead, request: FastifyRequest, reply: FastifyReply) {
  if (status !== undefined) reply.status(status);
  if (position !== undefined) reply.header(POSITION_HEADER, formatPosition(request.server.larder.name, position));
  if (location !== undefined) reply.header('Location', location);
  if (waitedMs !== undefined) reply.header('Preference-Applied', `wait=${waitedMs / 1_000}`);
}
