/** `Prefer: wait=5` (RFC 7240): the caller would rather wait for the final answer than be told to come back. */
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { documentedParameter } from './openapi.js';

/** The longest wait that is granted, in milliseconds. */
export const MAX_WAIT_MS = 30_000;

/**
 * The wait that a Prefer header asks for, in milliseconds; undefined when it asks for none, or in a way that RFC 7240
 * does not know.
 */
export function parsePreferWait(header: string | string[] | undefined): number | undefined {
  // Preferences are separated by commas, which may also stand inside quotes; the first of a name counts (section 2).
  const preferences = String(header ?? '').match(/(?:"(?:\\.|[^"\\])*"|[^,"])+/g) ?? [];
  const wait = preferences.find((preference) => /^\s*wait\b/i.test(preference)) ?? '';
  const seconds = /^\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;|$)/i.exec(wait)?.[1];
  return seconds === undefined ? undefined : Math.min(Number(seconds) * 1_000, MAX_WAIT_MS);
}

/** The header of an answer, for its `@ApiResponse({ headers })`. */
export const preferenceAppliedHeader = {
  'Preference-Applied': {
    description: 'The wait that was granted, whether or not all of it was needed (RFC 7240).',
    schema: { type: 'string' as const, example: 'wait=5' },
  },
};

/** A wait that was asked for. */
export interface Wait {
  readonly ms: number;
  /** Says in the answer that the preference was honoured: it is final, or was waited for that long. */
  honoured(): void;
}

/** `@PreferWait() wait: Wait | undefined`. The request's deadline moves by as much. */
export const PreferWait = createParamDecorator(
  (_data: unknown, context: ExecutionContext): Wait | undefined => {
    const http = context.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const ms = parsePreferWait(request.headers.prefer);
    if (ms === undefined) return undefined;
    request.dueMs += ms;
    return {
      ms,
      honoured: () => void http.getResponse<FastifyReply>().header('Preference-Applied', `wait=${ms / 1_000}`),
    };
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
