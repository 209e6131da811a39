/**
 * What a route does not take is refused: a query parameter that it has no use for, which is `customerID` more often than a
 * wish, and a body where it takes none. The route says what it takes with `@Query({ schema })` and `@Body({ schema })`; of
 * a body, its strict schema decides.
 */
import type { CanActivate, ExecutionContext } from '@nestjs/common';
import { ROUTE_ARGS_METADATA, RouteParamtypes } from '@nestjs/common/internal';
import type { FastifyRequest } from 'fastify';
import { Problem } from './problem.js';

interface Takes {
  readonly parameters: readonly string[];
  readonly body: boolean;
}

/** As Nest keeps it of each decorated argument of a handler, under `<type>:<index>`. */
type ArgumentsMetadata = Readonly<Record<string, { data?: unknown; schema?: { shape?: object } }>>;

export class UnknownInputGuard implements CanActivate {
  private readonly known = new Map<Function, Takes>();

  canActivate(context: ExecutionContext): boolean {
    const { query, body } = context.switchToHttp().getRequest<FastifyRequest>();
    const names = Object.keys(query as object);
    if (names.length === 0 && body === undefined) return true;
    const { parameters, body: takesBody } = this.takenBy(context);
    const takes = parameters.length === 0 ? 'It takes no parameters.' : `It takes ${parameters.join(', ')}.`;
    const errors = names
      .filter((name) => !parameters.includes(name))
      .map((name) => refusal({ parameter: name }, `This route has no parameter "${name}". ${takes}`));
    if (!takesBody && !isEmpty(body)) errors.push(refusal({ pointer: '' }, 'This route takes no body: leave it out.'));
    if (errors.length === 0) return true;
    throw new Problem(422, 'invalid-request', 'The request has what the route does not take; see errors.', {
      extras: { errors },
    });
  }

  private takenBy(context: ExecutionContext): Takes {
    const handler = context.getHandler();
    let takes = this.known.get(handler);
    if (takes === undefined) {
      takes = takenBy(Reflect.getMetadata(ROUTE_ARGS_METADATA, context.getClass(), handler.name) ?? {});
      this.known.set(handler, takes);
    }
    return takes;
  }
}

function takenBy(metadata: ArgumentsMetadata): Takes {
  const ofType = (type: RouteParamtypes) =>
    Object.entries(metadata).flatMap(([key, argument]) => (key.startsWith(`${type}:`) ? [argument] : []));
  const parameters = ofType(RouteParamtypes.QUERY).flatMap(({ data, schema }) =>
    typeof data === 'string' ? [data] : Object.keys(schema?.shape ?? {}),
  );
  return { parameters, body: ofType(RouteParamtypes.BODY).length > 0 };
}

const refusal = (place: { parameter: string } | { pointer: string }, detail: string) => ({
  ...place,
  code: 'unrecognized_keys',
  detail,
});

/** Clients that send JSON with every POST send an empty object. */
function isEmpty(body: unknown): boolean {
  if (body === undefined || body === null) return true;
  return typeof body === 'object' && !Array.isArray(body) && Object.keys(body).length === 0;
}
