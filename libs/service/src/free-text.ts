import { z } from 'zod';

const CONTROLS = '\\u0000-\\u001f\\u007f-\\u009f';
/** Those that `trim` takes away and that are no control characters. */
const BLANKS = ' \\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000\\ufeff';
/** Takes linear time: no character can begin two of its parts. */
const ONE_LINE = new RegExp(`^[${BLANKS}]*[^${BLANKS}${CONTROLS}][^${CONTROLS}]*$`);

/**
 * What a person writes, such as a name or a reason: 1 to `max` characters on one line. Blanks around them are dropped.
 * Postgres keeps no U+0000, and no other control character should steer a log or a terminal.
 */
export function freeText(max: number) {
  return z
    .string()
    .max(max)
    .trim()
    .min(1, { error: 'This may not be blank.', abort: true })
    .regex(ONE_LINE, 'This has a control character, such as a line break, a tab or U+0000: leave it out.');
}

/** Why a person decides something. It is kept with what was decided, and so is who they are, which their token says. */
export const decisionReason = { reason: freeText(2_000).describe('Why; it is kept with the decision') };
