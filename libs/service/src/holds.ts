/**
 * Holds without a verdict, for services that hold something for an order until the order decides what becomes of it. Such
 * a service never ends a hold by itself: the order might be confirmed at that moment. But after a day without a message,
 * or when half of the time has passed that the hold lasts, something is wrong with the order, or no service knows it, and a
 * person decides.
 */
import { Conflict, NotFound } from '#decider';
import type { Cause, RecordedEvent } from '#event-store';
import type { Attended, Projection } from '#projections';
import { type Attention, type AttentionItem, decisionsIn, inboxOf, type PastCase } from './attention.js';
import type { ServicePorts } from './ports.js';

/** The row of an open hold; it is deleted when the hold ends, unless a person was asked. Orders have another limit: order-todo.ts. */
export interface HoldRow extends Attended {
  order_id: string;
  /** ISO 8601. */
  held_since: string;
}

export interface Holds {
  readonly projection: Projection<HoldRow, any>;
  /** `reservation`, `payment`: its stream is `payment-<orderId>`. */
  readonly name: string;
  /** The state for an order; `held` is set only while the hold is open, and `expiresAt` if it ends by itself. */
  readonly find: (
    orderId: string,
  ) => Promise<{ readonly status: string; readonly held?: AttentionItem['held']; readonly expiresAt?: string }>;
  /** Publishes the messages to the order again. */
  readonly publishAgain: (orderId: string) => Promise<void>;
  /** Gives back what is held, and nothing else. @throws DomainError when the order's verdict arrives at the same moment */
  readonly giveUp: (orderId: string, cause: Cause) => Promise<{ position: bigint } | undefined>;
  readonly effects: { readonly retry: string; readonly callOff: string };
}

/** The inbox of a service that holds something: the holds that have had no verdict for too long. */
export function holdsWithoutVerdict({ store, tables, clock }: ServicePorts, holds: Holds): Attention {
  const { projection, name, find, effects } = holds;

  async function item(row: HoldRow): Promise<AttentionItem | undefined> {
    const { held, expiresAt } = await find(row.order_id);
    const ends = expiresAt === undefined ? '' : ` The hold ends at ${expiresAt}.`;
    return (
      held && {
        orderId: row.order_id,
        since: row.attention_at!,
        happened: `This is held since ${row.held_since}, and the order has not decided what becomes of it.${ends}`,
        held,
        tried: [],
        choices: [
          { decision: 'retry', effect: effects.retry },
          { decision: 'call-off', effect: effects.callOff },
        ],
      }
    );
  }

  async function past({ order_id: orderId, attended_at }: HoldRow): Promise<PastCase> {
    const events: RecordedEvent[] = [];
    for await (const event of store.read(`${name}-${orderId}`)) events.push(event);
    const { status, held } = await find(orderId);
    // To retry publishes messages again, and changes nothing here.
    const decisions = decisionsIn(events, () => 'call-off');
    return { orderId, at: attended_at!, decisions, became: `The ${name} is ${status}.`, isOver: held === undefined };
  }

  return {
    ...inboxOf(tables, projection, () => clock.now(), item, past),

    async resolve(orderId, { decision, reason }, cause) {
      if (decision === 'accept') throw new Conflict('nothing-to-accept', `The ${name} service asks for no acceptance.`);
      const { status, held } = await find(orderId);
      if (status === 'none') throw new NotFound(`${name}-not-found`, `There is no ${name} for this order.`);
      if (!held) throw new Conflict('nothing-held', `Nothing is held without a verdict: the ${name} is ${status}.`);
      const [row] = await tables.load(projection, [{ order_id: orderId }]);
      if (!row?.attention_at || new Date(row.attention_at) > clock.now()) {
        const until = row?.attention_at ? `Until ${row.attention_at}` : 'For a day';
        throw new Conflict('hold-too-young', `${until} the order itself decides what becomes of the ${name}.`);
      }
      if (decision === 'call-off') return holds.giveUp(orderId, { ...cause, reason });
      await holds.publishAgain(orderId);
      return undefined;
    },
  };
}
