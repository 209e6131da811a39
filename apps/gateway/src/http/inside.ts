/** Requests of the gateway to its own routes, within the process: what limits and protects the services applies to them, too. */
import type { FastifyRequest } from 'fastify';
import { Problem } from '#nest';
import { type Clock, within } from '#runtime';
import { parsePositions } from '../positions.js';

/** How long one service may take of what is put together; the others are shown without it. */
export const PART_WITHIN_MS = 3_000;

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** Reads `path` as the caller of `request`. Of `headers`, those that are undefined are not sent. */
export function readInside(request: FastifyRequest, path: string, headers: Headers, method: 'GET' | 'HEAD' = 'GET') {
  const { authorization, traceparent } = request.headers;
  const all = { authorization, traceparent, 'x-correlation-id': request.cause.correlationId, ...headers };
  const sent = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  return request.server.inject({
    method,
    url: path,
    headers: sent as Record<string, string>,
    remoteAddress: request.ip,
  });
}

/** What a service has answered, for an answer that is put together of several. */
export interface Part {
  readonly status: number;
  readonly body: object & { readonly code?: string; readonly detail?: string; readonly errors?: unknown };
  readonly position: string | undefined;
  readonly retryAfter: string | undefined;
}

/** Reads `path` as the caller of `request`; undefined when there is no answer in time. */
export function readPart(
  request: FastifyRequest,
  path: string,
  { clock, withinMs, headers = {} }: { readonly clock: Clock; readonly withinMs: number; readonly headers?: Headers },
): Promise<Part | undefined> {
  const read = async (): Promise<Part> => {
    const { statusCode: status, headers: given, payload } = await readInside(request, path, headers);
    const [position, retryAfter] = [given['larder-position'], given['retry-after']].map((each) => each?.toString());
    return { status, body: JSON.parse(payload) as Part['body'], position, retryAfter };
  };
  return within(clock, withinMs, read, () => undefined);
}

/** Whether a part says that the whole is refused. */
export const isRefusal = (part: Part | undefined): part is Part =>
  part !== undefined && part.status >= 400 && part.status < 500;

/** A refusal of the order service, as the refusal of all. */
export function refusalOf({ status, body: { code, detail, errors }, position, retryAfter }: Part): Problem {
  const at = position === undefined ? undefined : parsePositions(position).get('order');
  return new Problem(status, code ?? 'error', detail ?? 'The order service has refused this.', {
    ...(errors !== undefined && { extras: { errors } }),
    headers: {
      ...(retryAfter && { 'retry-after': retryAfter }),
      ...(at !== undefined && { 'larder-position': `order:${at}` }),
    },
  });
}
