/**
 * Holds without a verdict, for services that hold something for an order until the order decides what becomes of it. Such
 * a service never ends a hold by itself: the order might be confirmed at that moment. But after a day without a message,
 * something is wrong with the order, or no service knows it, and a person decides.
 */
import { Conflict, NotFound } from '#decider';
import type { Cause } from '#event-store';
import type { Projection } from '#projections';
import { type Attention, type AttentionItem, inboxOf } from './attention.js';
import type { ServicePorts } from './ports.js';

/** How long a hold waits for its order's decision before a person is asked. Orders have another limit: order-todo.ts. */
const ASK_A_PERSON_AFTER_MS = 24 * 60 * 60_000;

/** The row of an open hold; it is deleted when the hold ends. */
export interface HoldRow {
  order_id: string;
  /** ISO 8601. */
  held_since: string;
}

export interface Holds {
  readonly projection: Projection<HoldRow, any>;
  /** `reservation`, `payment`. */
  readonly name: string;
  /** The state for an order; `held` is set only while the hold is open. */
  readonly find: (orderId: string) => Promise<{ readonly status: string; readonly held?: AttentionItem['held'] }>;
  /** Publishes the messages to the order again. */
  readonly publishAgain: (orderId: string) => Promise<void>;
  /** Gives back what is held, and nothing else. @throws DomainError when the order's verdict arrives at the same moment */
  readonly giveUp: (orderId: string, cause: Cause) => Promise<{ position: bigint } | undefined>;
  readonly effects: { readonly retry: string; readonly callOff: string };
}

/** The inbox of a service that holds something: the holds that have had no verdict for 24 hours. */
export function holdsWithoutVerdict({ tables, clock }: ServicePorts, holds: Holds): Attention {
  const { projection, name, find, effects } = holds;

  async function item({ order_id: orderId, held_since: since }: HoldRow): Promise<AttentionItem | undefined> {
    const { held } = await find(orderId);
    return (
      held && {
        orderId,
        since: attentionAt(since).toISOString(),
        happened: `This is held since ${since}, and the order has not decided what becomes of it.`,
        held,
        tried: [],
        choices: [
          { decision: 'retry', effect: effects.retry },
          { decision: 'call-off', effect: effects.callOff },
        ],
      }
    );
  }

  const dueUntil = () => new Date(clock.now().getTime() - ASK_A_PERSON_AFTER_MS);
  return {
    ...inboxOf(tables, projection, 'held_since', dueUntil, item),

    async resolve(orderId, { decision, actor, reason }, cause) {
      if (decision === 'accept') throw new Conflict('nothing-to-accept', `The ${name} service asks for no acceptance.`);
      const { status, held } = await find(orderId);
      if (status === 'none') throw new NotFound(`${name}-not-found`, `There is no ${name} for this order.`);
      if (!held) throw new Conflict('nothing-held', `Nothing is held without a verdict: the ${name} is ${status}.`);
      const [row] = await tables.load(projection, [{ order_id: orderId }]);
      const openAt = row && attentionAt(row.held_since);
      if (openAt === undefined || openAt > clock.now()) {
        const until = openAt ? `Until ${openAt.toISOString()}` : 'For a day';
        throw new Conflict('hold-too-young', `${until} the order itself decides what becomes of the ${name}.`);
      }
      if (decision === 'call-off') return holds.giveUp(orderId, { ...cause, actor, reason });
      await holds.publishAgain(orderId);
      return undefined;
    },
  };
}

/** The time from which a hold without a verdict waits for a person. */
function attentionAt(heldSince: string): Date {
  return new Date(Date.parse(heldSince) + ASK_A_PERSON_AFTER_MS);
}
