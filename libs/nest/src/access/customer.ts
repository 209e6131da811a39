import { validate } from 'uuid';
import { nameBasedIds } from '../http/idempotency.js';

const idOf = nameBasedIds('0d0fb5d5-6a0e-5c5b-8a4e-7b0d5d1c2e33');

/** The id of the customer that a subject is: a UUID is the id itself, any other name is determined to have one. */
export function customerIdOf(subject: string): string {
  return validate(subject) ? subject.toLowerCase() : idOf(subject);
}
