/** Whose orders a caller is about: a customer of their own, staff of whom they name. */
import { customerIdOf, Problem } from '#nest';
import type { Caller } from '#service';

/**
 * For whom an order is: for the caller, unless staff name a customer.
 * @throws Problem 403 when a customer names another, 422 when there is none to order for
 */
export function customerOf(caller: Caller, named: string | undefined): string {
  const own = ownerFor(caller, named);
  if (own !== undefined) return own;
  if (caller.roles.includes('customer')) return customerIdOf(caller.subject);
  const error = { pointer: '/customerId', code: 'required', detail: 'Say for which customer you order.' };
  throw new Problem(422, 'invalid-request', 'A clerk orders for a customer: name them; see errors.', {
    extras: { errors: [error] },
  });
}

/**
 * Whose things the caller reaches of those that are asked for: a customer their own, staff anybody's (undefined) or those
 * of whom they name.
 * @throws Problem 403 when a customer names another
 */
export function ownerFor({ subject, whose }: Caller, named?: string): string | undefined {
  if (whose === 'any') return named;
  const own = customerIdOf(subject);
  if (named === undefined || named === own) return own;
  throw new Problem(
    403,
    'forbidden',
    'A customer orders for themself, and sees their own orders: leave customerId out.',
  );
}
