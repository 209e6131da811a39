/**
 * Errors as RFC 9457 problem details: every failure is answered with `application/problem+json` and a stable `code`, and
 * nothing of the service's internals is in it.
 *
 *   NotFound, Conflict, DomainError         404, 409, 422, with the code of the refusal
 *   Problem (thrown by HTTP code)           as it says
 *   schema issues                           422 invalid-request, with the place of each
 *   Fastify's and Nest's own errors         their 4xx status
 *   a server that is away, full or slow     503 unavailable, Retry-After
 *   an event of a newer release             503 unavailable, Retry-After: another instance may be able to read it
 *   RevisionConflict (retries are used up)  503 busy, Retry-After
 *   anything else                           500 internal-error, logged with its stack
 */
import {
  type ArgumentMetadata,
  type ArgumentsHost,
  Catch,
  type ExceptionFilter,
  HttpException,
  StandardSchemaValidationPipe,
} from '@nestjs/common';
import type { AbstractHttpAdapter } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { STATUS_CODES } from 'node:http';
import { Conflict, DomainError, NotFound } from '#decider';
import { NewerEvent, RevisionConflict } from '#event-store';
import { isUnavailable, type Log } from '#runtime';
import { formatPosition, POSITION_HEADER } from './position-header.js';

export const PROBLEM_TYPE = 'application/problem+json';

/** An error with an HTTP status, a stable code and a sentence for the caller. */
export class Problem extends Error {
  readonly extras: object;
  readonly headers: Readonly<Record<string, string>>;
  readonly position: bigint | undefined;

  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    { extras = {}, headers = {}, position, cause }: ProblemOptions = {},
  ) {
    super(detail, cause === undefined ? undefined : { cause });
    this.name = 'Problem';
    this.extras = extras;
    this.headers = headers;
    this.position = position;
  }
}

export interface ProblemOptions {
  /** Further members of the document; values that JSON can hold. */
  readonly extras?: object;
  readonly headers?: Readonly<Record<string, string>>;
  /** `Larder-Position`: up to where a read had seen the store that found nothing. */
  readonly position?: bigint | undefined;
  readonly cause?: unknown;
}

/** 503: the caller may try again in a second. */
export function tryAgain(code: string, detail: string, extras: object = {}, cause?: unknown): Problem {
  return new Problem(503, code, detail, { extras, headers: { 'retry-after': '1' }, cause });
}

const FASTIFY_CODES: Readonly<Record<string, [status: number, code: string, detail: string]>> = {
  FST_ERR_CTP_INVALID_JSON_BODY: [400, 'malformed-json', 'The body is not JSON.'],
  FST_ERR_CTP_EMPTY_JSON_BODY: [400, 'malformed-json', 'The body is empty, although its Content-Type is JSON.'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [415, 'unsupported-media-type', 'Send the body as application/json.'],
  FST_ERR_CTP_BODY_TOO_LARGE: [413, 'body-too-large', 'The body is too large.'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [400, 'bad-request', 'The length of the body differs from its Content-Length.'],
  FST_ERR_BAD_URL: [400, 'bad-request', 'The URL is not well-formed.'],
  FST_ERR_MAX_PARAM_LENGTH: [414, 'uri-too-long', 'A part of the path is too long.'],
};

/** The problem that a thrown error becomes for the caller. Pure, so the whole mapping is here. */
export function problemOf(thrown: unknown): Problem {
  // Nest wraps Fastify's refusals in an exception of its own.
  const error = thrown instanceof HttpException && thrown.cause instanceof Error ? thrown.cause : thrown;
  if (error instanceof Problem) return error;
  if (error instanceof DomainError) {
    const status = error instanceof NotFound ? 404 : error instanceof Conflict ? 409 : 422;
    return new Problem(status, error.code, error.message, { extras: error.details });
  }
  if (error instanceof RevisionConflict) {
    return tryAgain('busy', 'Others are writing to the same data. Try again.', {}, error);
  }
  if (error instanceof HttpException && error.getStatus() < 500) {
    return new Problem(error.getStatus(), codeOf(error.getStatus()), error.message);
  }
  const { code, statusCode } = error instanceof Error ? (error as { code?: unknown; statusCode?: unknown }) : {};
  const known = typeof code === 'string' && Object.hasOwn(FASTIFY_CODES, code) ? FASTIFY_CODES[code] : undefined;
  if (known) return new Problem(...known);
  // Fastify's JSON parser refuses a `__proto__` key with a plain SyntaxError.
  if (error instanceof SyntaxError && statusCode === 400) {
    return new Problem(400, 'malformed-json', 'The body is JSON with a forbidden key.');
  }
  if (typeof code === 'string' && code.startsWith('FST_') && typeof statusCode === 'number' && statusCode < 500) {
    return new Problem(statusCode, codeOf(statusCode), STATUS_CODES[statusCode] ?? 'Bad request');
  }
  if (error instanceof NewerEvent) {
    const detail =
      'A newer release has written to this, and the instance that you asked cannot read it yet. Try again.';
    return tryAgain('unavailable', detail, {}, error);
  }
  if (isUnavailable(error)) {
    return tryAgain('unavailable', 'A server that this service needs cannot do its work now. Try again.', {}, error);
  }
  return new Problem(500, 'internal-error', 'Something went wrong here.', { cause: error });
}

/** `Not Found` is `not-found`. */
function codeOf(status: number): string {
  return (STATUS_CODES[status] ?? 'error').toLowerCase().replace(/[^a-z]+/g, '-');
}

/** Who was refused for who they are, or how much they sent: many of these are an attack, or a client that is wrong. */
const REFUSED = new Set([401, 403, 421, 429]);

/** Answers every error that a handler, Nest or Fastify throws. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(
    private readonly http: AbstractHttpAdapter,
    private readonly log: Log,
    private readonly countRefusal: (code: string) => void,
  ) {}

  catch(error: unknown, host: ArgumentsHost): void {
    this.answer(error, host.switchToHttp().getRequest<FastifyRequest>(), host.switchToHttp().getResponse<unknown>());
  }

  answer(error: unknown, request: FastifyRequest, reply: unknown): void {
    const path = request.url.split('?', 1)[0] ?? '/';
    const problem = problemOf(error);
    const correlationId = request.cause?.correlationId;
    const fields = { correlationId, method: request.method, path, status: problem.status, code: problem.code };
    if (this.http.isHeadersSent(reply)) {
      return this.log.warn({ ...fields, err: error }, 'A request failed after its answer was sent.');
    }
    if (problem.status === 500) this.log.error({ ...fields, err: error }, 'A request failed.');
    else if (problem.status > 500) this.log.warn({ ...fields, err: problem.cause ?? problem }, problem.message);
    else if (REFUSED.has(problem.status)) {
      this.countRefusal(problem.code);
      // Too many requests are logged once in a while: see rate-limit.ts.
      const level = problem.status === 429 ? 'debug' : 'warn';
      this.log[level]({ ...fields, address: request.ip }, 'A request was refused to its caller.');
    } else this.log.debug(fields, problem.message);

    this.http.setHeader(reply, 'content-type', PROBLEM_TYPE);
    for (const [name, value] of Object.entries(problem.headers)) this.http.setHeader(reply, name, value);
    if (problem.position !== undefined) {
      this.http.setHeader(reply, POSITION_HEADER, formatPosition(request.server.larder.name, problem.position));
    }
    this.http.reply(reply, problemDocument(problem, path, correlationId), problem.status);
  }
}

/** The document that a problem is for the caller; `path` is what was asked for. */
export function problemDocument(
  { status, code, message, extras }: Problem,
  path: string,
  correlationId?: string,
): object {
  return {
    type: `urn:larder:problem:${code}`,
    title: titleOf(code),
    status,
    detail: message,
    code,
    instance: path,
    correlationId,
    ...extras,
  };
}

/** `order-confirmed` is called `Order confirmed`. */
function titleOf(code: string): string {
  return code.charAt(0).toUpperCase() + code.slice(1).replaceAll('-', ' ');
}

interface Issue {
  readonly message: string;
  readonly code?: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[];
}

class SchemaIssues extends Error {
  constructor(readonly issues: readonly Issue[]) {
    super('The schema refused a value.');
  }
}

/** Nest's own pipe for `@Body({ schema })` and the like, whose refusals become problems that locate each mistake. */
export class RequestValidationPipe extends StandardSchemaValidationPipe {
  constructor() {
    super({ exceptionFactory: (issues) => new SchemaIssues(issues) });
  }

  override async transform<T>(value: T, metadata: ArgumentMetadata): Promise<T> {
    try {
      return await super.transform(value, metadata);
    } catch (error) {
      if (!(error instanceof SchemaIssues)) throw error;
      const errors = error.issues.map((issue) => ({
        ...placeOf(issue, metadata),
        code: issue.code ?? 'invalid',
        detail: issue.message,
      }));
      throw new Problem(422, 'invalid-request', 'The request does not match the schema; see errors.', {
        extras: { errors },
      });
    }
  }
}

/** A JSON pointer (RFC 6901) into the body, or the name of a parameter of the path or the query. */
function placeOf(issue: Issue, { type, data }: ArgumentMetadata): { pointer: string } | { parameter: string } {
  const path = (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part));
  if (type === 'body') {
    const full = data === undefined ? path : [data, ...path];
    return { pointer: full.map((part) => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('') };
  }
  return { parameter: data ?? path.join('.') };
}
