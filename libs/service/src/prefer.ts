/** `Prefer: wait=5` (RFC 7240): the caller would rather wait for the final answer than be told to come back. */
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { documentedParameter } from './openapi.js';

/** The longest wait that is granted, in milliseconds. */
export const MAX_WAIT_MS = 30_000;

/** The wait that a Prefer header asks for, in milliseconds; 0 when it asks for none, or in a way that RFC 7240 does not know. */
export function parsePreferWait(header: string | string[] | undefined): number {
  // Preferences are separated by commas, which may also stand inside quotes; the first of a name counts (section 2).
  const preferences = String(header ?? '').match(/(?:"(?:\\.|[^"\\])*"|[^,"])+/g) ?? [];
  const wait = preferences.find((preference) => /^\s*wait\b/i.test(preference)) ?? '';
  const seconds = /^\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;|$)/i.exec(wait)?.[1];
  return Math.min(Number(seconds ?? 0) * 1_000, MAX_WAIT_MS);
}

/** `@PreferWait() waitMs: number`. The request's deadline moves by as much. */
export const PreferWait = createParamDecorator(
  (_data: unknown, context: ExecutionContext): number => {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const waitMs = parsePreferWait(request.headers.prefer);
    request.dueMs += waitMs;
    return waitMs;
  },
  [
    documentedParameter(({ ApiHeader }) =>
      ApiHeader({
        name: 'Prefer',
        required: false,
        description: `wait=N holds the answer for up to N seconds, at most ${MAX_WAIT_MS / 1_000}, until it is final (RFC 7240).`,
        schema: { type: 'string', example: 'wait=5' },
      }),
    ),
  ],
);
