/** A world by its address: `/console/worlds/4711?mutant=both-win&only=3,7`. */

export const WORLDS = '/console/worlds';
export const MAX_SEED = 0xffff_ffff;

export interface WorldAddress {
  readonly seed: number;
  /** The mutant that is planted; absent: none. */
  readonly mutant?: string;
  /** The items of its plan that happen; absent: all. */
  readonly only?: readonly number[];
}

export function addressOf({ seed, mutant, only }: WorldAddress): string {
  // By hand, since a comma may stand as it is.
  const query = [
    ...(mutant === undefined ? [] : [`mutant=${mutant}`]),
    ...(only === undefined ? [] : [`only=${only.join(',')}`]),
  ];
  return `${WORLDS}/${seed}${query.length > 0 ? `?${query.join('&')}` : ''}`;
}

/** Undefined where no world is named. @throws Error that says in words what is wrong */
export function readAddress(path: string, query: URLSearchParams): WorldAddress | undefined {
  if (!path.startsWith(`${WORLDS}/`)) return undefined;
  const seed = wholeNumber(path.slice(WORLDS.length + 1), 'The seed');
  const mutant = query.get('mutant');
  const only = query.get('only');
  return { seed, ...(mutant && { mutant }), ...(only && { only: readOnly(only) }) };
}

/** `3,7,12` @throws Error that says in words what is wrong */
export function readOnly(text: string): readonly number[] {
  return text.split(',').map((each) => wholeNumber(each.trim(), 'An item of the plan'));
}

function wholeNumber(text: string, what: string): number {
  const number = Number(text);
  if (/^\d{1,10}$/.test(text) && number <= MAX_SEED) return number;
  throw new Error(`${what} is a whole number from 0 to ${MAX_SEED}, and not “${text}”.`);
}
