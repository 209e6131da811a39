/** `Prefer: wait=5` (RFC 7240): the caller prefers waiting for the final answer over polling for it. */
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { extendDeadline } from './deadlines.js';
import { onRoute, takesHeader } from './route.js';

/** The longest wait that is granted, in milliseconds. */
export const MAX_WAIT_MS = 30_000;

/**
 * The wait that a Prefer header asks for, in milliseconds; undefined when it asks for none, or not as RFC 7240 defines it.
 */
export function parsePreferWait(header: string | string[] | undefined): number | undefined {
  // Preferences are separated by commas, which may also stand inside quotes; the first of a name counts (section 2).
  const preferences = String(header ?? '').match(/(?:"(?:\\.|[^"\\])*"|[^,"])+/g) ?? [];
  const wait = preferences.find((preference) => /^\s*wait\b/i.test(preference)) ?? '';
  const seconds = /^\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;|$)/i.exec(wait)?.[1];
  return seconds === undefined ? undefined : Math.min(Number(seconds) * 1_000, MAX_WAIT_MS);
}

/** The header of an answer, for `answers`. */
export const preferenceAppliedHeader = {
  'Preference-Applied': {
    description: 'The wait that was granted, whether or not all of it was needed (RFC 7240).',
    schema: { type: 'string' as const, example: 'wait=5' },
  },
};

/**
 * `@PreferWait() waitMs: number | undefined`: the wait that the caller asked for, in milliseconds. Extends the request's
 * deadline by as much. A handler that grants it says so with `waitedMs` of its Answer.
 */
export const PreferWait = createParamDecorator(
  (_data: unknown, context: ExecutionContext): number | undefined => {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const waitMs = parsePreferWait(request.headers.prefer);
    if (waitMs !== undefined) extendDeadline(request, waitMs);
    return waitMs;
  },
  [
    onRoute(
      takesHeader('Prefer', {
        required: false,
        description: `wait=N holds the answer for up to N seconds, at most ${MAX_WAIT_MS / 1_000}, until it is final (RFC 7240).`,
        schema: { type: 'string', example: 'wait=5' },
      }),
    ),
  ],
);
