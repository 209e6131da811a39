/** People with names that nothing else has, so that whatever is found of them came from them. */
import { randomUUID } from 'node:crypto';
import type { Random } from '#runtime';
import type { Recipient } from '../../apps/order/src/recipient.js';
import type { Secret } from './search.js';

export interface Person {
  readonly customerId: string;
  /** What becomes of their order: `whose order is rejected`. */
  readonly who: string;
  readonly recipient: Recipient;
  /** The words of the recipient, each of which is looked for by itself. */
  readonly secrets: readonly Secret[];
}

const LETTERS = { ascii: ['bdfgklmnprstvwz', 'aeiou'], other: ['łñßþðžřçďň', 'őąůæøęîāėż'] } as const;

/** `who` is unique among the people of a shop. */
export function newPerson(who: string, random: Random): Person {
  const word = (letters: keyof typeof LETTERS, syllables = 5) =>
    Array.from({ length: syllables }, () =>
      LETTERS[letters].map((kind) => kind[Math.floor(random.next() * kind.length)]),
    )
      .flat()
      .join('');
  // Some letters that every encoding writes as they are, and some that none but UTF-8 does.
  const name = () => capitalized(`${word('ascii', 2)}${word('other', 3)}`);
  const recipient = {
    name: `${name()} ${name()}`,
    email: `${word('ascii')}@${word('ascii')}.example`,
    address: {
      street: `${name()} 7`,
      postalCode: word('ascii').toUpperCase(),
      city: name(),
      country: 'PL',
    },
  };
  return { customerId: randomUUID(), who, recipient, secrets: secretsOf(who, recipient) };
}

function secretsOf(who: string, { address, ...recipient }: Recipient): Secret[] {
  return Object.entries({ ...recipient, ...address }).flatMap(([field, text]) =>
    text
      .split(/[\s@.]+/)
      .filter((word) => word.length >= 8)
      .map((word) => ({ text: word, what: `the ${field} of the customer ${who}` })),
  );
}

function capitalized(word: string): string {
  return word[0]!.toUpperCase() + word.slice(1);
}
