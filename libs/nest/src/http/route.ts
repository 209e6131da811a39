/**
 * `@route` says in one place what a route does, what it answers and what it refuses, and documents it in OpenAPI:
 *
 *   @Post('orders')
 *   @route('Places an order', answers(202, 'Placed', orderView, positionHeader), refuses(422, 'unknown-sku'))
 *
 * `@nestjs/swagger` costs 12 MB of memory, which only the document needs. The documentation is therefore kept until the
 * document is first asked for (openapi.ts), and the package is loaded then. What Nest knows by itself (paths,
 * `@Body({ schema })`, `@Query({ schema })`) is not repeated here, nor what any route may refuse.
 */
import { HttpCode, RequestMethod } from '@nestjs/common';
import { METHOD_METADATA, ROUTE_ARGS_METADATA, RouteParamtypes } from '@nestjs/common/internal';
import type { z } from 'zod';

type Swagger = typeof import('@nestjs/swagger');

/** One statement about a route: `answers`, `refuses` or `takesHeader`. */
export interface RoutePart {
  /** The status of a successful answer. */
  readonly answerStatus?: number;
  document(swagger: Swagger): MethodDecorator;
}

interface HeaderDescription {
  readonly description: string;
  readonly schema: { readonly type: 'string'; readonly [keyword: string]: unknown };
}

const waiting: ((swagger: Swagger) => void)[] = [];

/** Applies the documentation that was declared since the last call. */
export function documentRoutes(swagger: Swagger): void {
  for (const document of waiting.splice(0)) document(swagger);
}

/** Documents a route handler. The first `answers` is also the status that it answers with unless its Answer has another. */
export function route(summary: string, ...parts: readonly RoutePart[]): MethodDecorator {
  const status = parts.find(({ answerStatus }) => answerStatus !== undefined)?.answerStatus;
  const operation: RoutePart = { document: ({ ApiOperation }) => ApiOperation({ summary }) };
  return (target, key, descriptor) => {
    if (status !== undefined) HttpCode(status)(target, key, descriptor);
    keep([operation, ...parts, usualRefusals], (decorate) => void decorate(target, key, descriptor));
  };
}

/** For a decorator of a handler's parameter: documents the route that the parameter belongs to. */
export function onRoute(...parts: readonly RoutePart[]): ParameterDecorator {
  return (target, key) => {
    if (key === undefined) return;
    const descriptor = Object.getOwnPropertyDescriptor(target, key);
    if (descriptor) keep(parts, (decorate) => void decorate(target, key, descriptor));
  };
}

function keep(parts: readonly RoutePart[], apply: (decorate: MethodDecorator) => void): void {
  for (const part of parts) waiting.push((swagger) => apply(part.document(swagger)));
}

/** An answer with a body as `schema` describes it; `headers` by their names. */
export function answers(
  status: number,
  description: string,
  schema: z.ZodType,
  ...headers: readonly Readonly<Record<string, HeaderDescription>>[]
): RoutePart {
  return {
    answerStatus: status,
    document: ({ ApiResponse }) =>
      ApiResponse({ status, description, standardSchema: schema, headers: Object.assign({}, ...headers) }),
  };
}

/** An answer that goes on: server-sent events. */
export function streams(description: string): RoutePart {
  const content = { 'text/event-stream': { schema: { type: 'string' as const } } };
  return { answerStatus: 200, document: ({ ApiResponse }) => ApiResponse({ status: 200, description, content }) };
}

/** A problem with this status and one of these codes, or of those that another part of the route names for the status. */
export function refuses(status: number, ...codes: readonly string[]): RoutePart {
  const retryAfter = { 'Retry-After': { description: 'Seconds', schema: { type: 'integer' as const } } };
  return {
    document:
      ({ ApiResponse }) =>
      (target, key, descriptor) => {
        const named = [...nameCodes(descriptor.value as object, status, codes)];
        ApiResponse({
          status,
          description: listed(codes), // Swagger keeps those of an earlier part.
          ...(status === 503 && { headers: retryAfter }),
          content: problemWith(named).content,
        })(target, key, descriptor);
      },
  };
}

/** A problem with one of these codes, as the document has it. */
export function problemWith(codes: readonly string[]) {
  const coded = { type: 'object', properties: { code: { type: 'string', enum: [...codes] } }, required: ['code'] };
  const schema = { allOf: [{ $ref: '#/components/schemas/Problem' }, coded] };
  return { description: listed(codes), content: { 'application/problem+json': { schema } } };
}

const listed = (codes: readonly string[]) => codes.map((code) => `\`${code}\``).join(', ');

/** By handler and status, the codes that its parts have named: a document has one entry per status. */
const namedCodes = new WeakMap<object, Map<number, Set<string>>>();

function nameCodes(handler: object, status: number, codes: readonly string[]): ReadonlySet<string> {
  const byStatus = namedCodes.get(handler) ?? new Map<number, Set<string>>();
  namedCodes.set(handler, byStatus);
  const named = new Set([...(byStatus.get(status) ?? []), ...codes]);
  byStatus.set(status, named);
  return named;
}

/** What every route may refuse with: it follows from what the route takes, and whether it writes. */
const usualRefusals: RoutePart = {
  document: (swagger) => (target, key, descriptor) => {
    const isWrite = Reflect.getMetadata(METHOD_METADATA, descriptor.value as object) !== RequestMethod.GET;
    const taken = Object.keys((Reflect.getMetadata(ROUTE_ARGS_METADATA, target.constructor, key) ?? {}) as object);
    const takesBody = taken.some((each) => each.startsWith(`${RouteParamtypes.BODY}:`));
    const ofBody = [refuses(413, 'body-too-large'), refuses(415, 'unsupported-media-type')];
    const parts = [
      ...(takesBody ? [refuses(400, 'malformed-json'), ...ofBody] : []),
      refuses(422, 'invalid-request'),
      refuses(503, 'unavailable', ...(isWrite ? ['busy'] : [])),
    ];
    for (const part of parts) part.document(swagger)(target, key, descriptor);
  },
};

/** A header of the request. */
export function takesHeader(
  name: string,
  options: { readonly required: boolean; readonly description: string; readonly schema?: HeaderDescription['schema'] },
): RoutePart {
  return { document: ({ ApiHeader }) => ApiHeader({ name, ...options }) };
}
