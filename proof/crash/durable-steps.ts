/**
 * Every durable step of each service, as a place to crash. A step is durable when something outside of the process is
 * different after it: between two of them a crash leaves what the first one wrote, and the second one not done.
 */
import { type Service, services, shop } from '../../apps/shop.js';
import { appendedBy } from '../simulation/fault-points.js';
import type { Wish } from './customers.js';

export const moments = ['before', 'after'] as const;
export type Moment = (typeof moments)[number];

/** A step as proof/interruptible.ts names it. */
export interface DurableStep {
  readonly service: Service;
  /** `append OrderPlaced`, as the table shows it. */
  readonly name: string;
  readonly point: string;
  readonly about?: string;
  /** Whether it takes failing appends to get there: what fails is parked. */
  readonly takesFailures?: true;
  /** What customers have to want more often to get there. */
  readonly takes?: Wish | undefined;
}

/** The message to a victim: to die before or after it reaches a step for the n-th time. */
export interface Doom extends Pick<DurableStep, 'point' | 'about'> {
  readonly moment: Moment;
  readonly nth: number;
  /** One of that many appends fails from now on. */
  readonly failEvery?: number;
}

/** The events without a row, each with the reason. */
export const notSteps: Readonly<Record<string, string>> = {
  StockReceived: 'in the append of EntryMade',
  StockRecounted: 'in the append of EntryMade',
  QuotaTaken: 'in the append of OrderPlaced',
  StockReserved: 'in the append of ReservationMade',
  StockReleased: 'in the append of ReservationReleased',
  StockShipped: 'in the append of ReservationShipped',
  StockReturned: 'in the append of ReservationReturned',
  ReservationBlocked:
    'a key keeps its order: only where a person skips a dead letter does a release overtake its request',
};

/** What a load takes to come to a rare event often enough. */
const takes: Readonly<Record<string, Wish>> = {
  OrderPaymentRefused: 'be refused',
  OrderReminded: 'be refused',
  PaymentCaptureRefused: 'be refused',
  ReservationReturned: 'be refused',
  PaymentRefunded: 'have it called off late',
  PaymentRefundRefused: 'have it called off late',
  PaymentRefundedInPart: 'have it called off late',
  PaymentHeldTwice: 'meet a provider that errs',
  PaymentHoldReleased: 'meet a provider that errs',
  PaymentMiscaptured: 'meet a provider that errs',
  PaymentMovedByProvider: 'meet a provider that errs',
  OrderPaymentMoved: 'meet a provider that errs',
  OrderPaymentMoveAccepted: 'meet a provider that errs',
  PriceWithdrawn: 'end a sale',
  CustomerRecipientKept: 'be forgotten',
  CustomerErasureRequested: 'be forgotten',
  CustomerErased: 'be forgotten',
};

export const steps: readonly DurableStep[] = services.flatMap((service) => [
  ...appendedBy(service)
    .filter((event) => !Object.hasOwn(notSteps, event))
    .map((event) => ({
      service,
      name: `append ${event}`,
      point: 'store.append',
      about: event,
      takes: takes[event],
    })),
  { service, name: 'publish', point: 'bus.publish' },
  { service, name: 'save the relay checkpoint', point: 'checkpoints.save' },
  { service, name: 'handle a batch', point: 'bus.handle' },
  { service, name: 'park', point: 'parked.park', takesFailures: true },
  { service, name: 'settle parked', point: 'parked.recordRetries', takesFailures: true },
  ...shop[service].projections.map(({ name }) => ({
    service,
    name: `commit ${name}`,
    point: 'tables.commit',
    about: name,
  })),
]);
