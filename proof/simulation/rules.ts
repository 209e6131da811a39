/** Every rule that a world has to keep, as what is wrong where it is broken. */
import { kinds } from '../../scripts/lib/reconcile/finding.js';

export const rules = {
  // What people were promised.
  'accepted-order-lost': 'an order was accepted, and does not exist',
  'cancellation-lost': 'a cancellation was accepted, and the order goes on',
  'ending-changed': 'a customer was told one end, and the order has another',
  'entry-lost': 'a receipt or a recount was accepted, and is not booked once',
  'entry-answered-twice': 'a receipt or a recount that was sent again got another answer',
  'old-price': 'an order was sold at a price that was older than the one its customer had seen',
  'too-many-open': 'a customer has more open orders than they may',
  'place-lost': 'a customer whose orders are all settled may not order',
  'stranger-let-in': 'somebody saw, waited for or cancelled the order of another',
  // What becomes of an order.
  'order-ends-twice': 'an order has two ends',
  'order-settled-twice': 'an order says once too often that it is settled',
  'settled-too-early': 'an order said that it was settled while its books did not agree',
  'deadline-early': 'an order was called off before its deadline',
  'deadline-missed': 'an order waits past its deadline, or was confirmed long after it',
  'reminder-needed': 'nothing was lost, and an order got on only after a reminder',
  'not-reminded': 'a person is asked about an order, and nobody was reminded of it before',
  'refusal-counted-twice': 'a refusal of the provider was counted twice',
  'attempt-unasked': 'what was refused was tried again, and nobody had asked for it',
  'not-sold': 'what there was, and could be paid, was not sold',
  // Whose data it is.
  'token-shown': 'a payment token can be read where nobody but payment may read it',
  'person-shown': 'a recipient can be read in an event, a message or a row',
  'recipient-lost': 'to whom an order is sent cannot be read any more',
  'another-recipient': 'an order is shown with somebody else as its recipient',
  'key-not-noted': 'nothing says which key the recipient of an order is sealed with',
  'closed-key-used': 'a recipient is sealed with a key that was closed',
  'erased-key-stays': 'a recipient is erased, and its key is there',
  'erased-unasked': 'a recipient was erased, and nobody had asked for it',
  'erased-too-early': 'a recipient was erased while its order was open',
  'erased-and-shown': 'a recipient that was erased is shown',
  // What one service tells another.
  'message-missing': 'an event that others may hear of never came to the bus',
  'messages-out-of-order': 'messages of one key are not in the order of its events',
  'message-passed-over': 'a service was never done with a message that it had read',
  'message-refused': 'a decider refused what a message says',
  'parked-and-unseen': 'messages are parked where nobody will try them again',
  'parked-for-ever': 'all is over, and messages are still parked',
  // How it gets on.
  'held-up': 'nothing hinders it, and a relay or a read model is behind',
  'slow-alone': 'a customer who was alone had to wait for a poll',
  'trouble-alone': 'nothing went wrong, and a service complains',
  'no-end': 'nothing went wrong for long, and not all is final',
  'no-rest': 'all was final, and a day later there were new events',
  'loops-ended': 'a service ended by itself',
  'error-in-code': 'a service threw what only a mistake in its code throws',
  // What the books must say of each other.
  ...kinds,
} as const;

export type Rule = keyof typeof rules;
