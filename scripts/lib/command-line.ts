/** The command lines of the commands: one wording for what is wrong with them, always with the usage. */
import { parseArgs, type ParseArgsConfig } from 'node:util';
import type { Output } from './progress-bar.js';

/** A wrong command line; the message says what is wrong, and may be empty when the usage says enough. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

interface Syntax extends ParseArgsConfig {
  /** The rest of the sentence that begins with "Usage: ". */
  readonly usage: string;
}

type Parsed<S extends Syntax> = ReturnType<typeof parseArgs<S>>;

/**
 * What `read` makes of the flags and positionals in `argv`. When the command line is wrong, that is when they do not fit
 * the syntax or `read` throws a UsageError, a line on stderr says so: undefined, and the command exits with 2.
 */
export function readCommandLine<const S extends Syntax, R>(
  argv: readonly string[],
  syntax: S,
  { stderr }: Output,
  read: (parsed: Parsed<S>) => R,
): R | undefined {
  try {
    return read(parseArgs({ ...syntax, args: [...argv] }) as Parsed<S>);
  } catch (error) {
    if (!(error instanceof UsageError || isFromParseArgs(error))) throw error;
    // Node adds advice for programmers after the first sentence.
    const reason = error instanceof UsageError ? error.message : `${error.message.split(/\.(\s|$)/)[0]}.`;
    stderr.write(`${reason && `${reason} `}Usage: ${syntax.usage}\n`);
    return undefined;
  }
}

function isFromParseArgs(error: unknown): error is Error {
  return error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS_');
}

/**
 * The number that `text` spells: a whole one, from `min` to `max`.
 * @throws UsageError when it is something else; `what` is what it should have been: "a number of orders"
 */
export function wholeNumber(
  text: string,
  { what = 'a whole number', min = 0, max = Number.MAX_SAFE_INTEGER } = {},
): number {
  const number = text.trim() === '' ? NaN : Number(text);
  if (Number.isSafeInteger(number) && number >= min && number <= max) return number;
  throw new UsageError(`"${text}" is not ${what}.`);
}

/** @throws UsageError when `text` is not a number above 0 */
export function positiveNumber(text: string): number {
  const number = Number(text);
  if (Number.isFinite(number) && number > 0) return number;
  throw new UsageError(`"${text}" is not a number above 0.`);
}

/** A seed for a run whose command line has none. */
export function randomSeed(): number {
  return Math.floor(Math.random() * 1e9);
}
