/**
 * Where a service can be struck: every step by which it reaches outside, and what the step may be about. The list is
 * declared and not gathered from runs, so that a coverage report can name what was never reached.
 */
import type { Step } from '#service';
import { inventoryEvents, orderEvents, paymentEvents } from '#contracts';
import { projections as inventoryProjections } from '../../apps/inventory/src/service.js';
import { projections as orderProjections } from '../../apps/order/src/service.js';
import { projections as paymentProjections } from '../../apps/payment/src/service.js';

export const services = ['order', 'inventory', 'payment'] as const;
export type Service = (typeof services)[number];

export type Moment = 'before' | 'after';

/** A step, what it is about (undefined where it is about nothing in particular), and on which side of its effect. */
export interface Point {
  readonly service: Service;
  readonly step: string;
  readonly about?: string;
  readonly moment: Moment;
}

/** What else there is to know of a service. */
export const facts = {
  order: {
    topic: orderEvents,
    hears: [inventoryEvents, paymentEvents],
    categories: ['order'],
    projections: orderProjections,
    leases: ['order', 'order retries', 'watchdog'],
  },
  inventory: {
    topic: inventoryEvents,
    hears: [orderEvents],
    categories: ['reservation'],
    projections: inventoryProjections,
    leases: ['inventory', 'inventory retries'],
  },
  payment: {
    topic: paymentEvents,
    hears: [orderEvents],
    categories: ['payment'],
    projections: paymentProjections,
    leases: ['payment', 'payment retries', 'cashier'],
  },
} as const;

/** Those that a projector holds too. */
export const leasesOf = (service: Service): string[] => [
  ...facts[service].leases,
  ...facts[service].projections.map(({ name }) => `projector:${name}`),
];

/** What each service writes and reads by itself; what it shares with the others follows from `facts`. */
const OWN: Record<Service, Record<string, readonly string[]>> = {
  order: {
    'store.append': [
      'OrderPlaced',
      'OrderStockReserved',
      'OrderConfirmed',
      'OrderStockShipped',
      'OrderPaymentCaptured',
      'OrderCompleted',
      'OrderRejected',
      'OrderCancelled',
      'OrderStockReleased',
      'OrderPaymentReturned',
      'OrderSettled',
      'OrderPaymentRefused',
      'OrderReminded',
      'PriceSet',
    ],
    'store.read': ['order', 'price'],
    'store.subscribe': ['order', 'price'],
    'store.head': [],
    'tables.due': ['order-todo'],
  },
  inventory: {
    'store.append': [
      'ReservationMade',
      'ReservationRejected',
      'ReservationReleased',
      'ReservationShipped',
      'ReservationReturned',
      'ReservationBlocked',
      'StockReceived',
      'StockRecounted',
      'StockReserved',
      'StockReleased',
      'StockShipped',
      'StockReturned',
      'EntryMade',
    ],
    'store.read': ['reservation', 'stock', 'entry'],
    'store.subscribe': ['reservation', 'stock'],
    'tables.due': ['stock-hold'],
  },
  payment: {
    'store.append': [
      'PaymentRequested',
      'PaymentAuthorized',
      'PaymentDeclined',
      'PaymentCaptureRequested',
      'PaymentCaptured',
      'PaymentReturnRequested',
      'PaymentVoided',
      'PaymentRefunded',
      'PaymentCaptureRefused',
      'PaymentRefundRefused',
      'PaymentBlocked',
    ],
    'store.read': ['payment'],
    'store.subscribe': ['payment'],
    'store.head': [],
    'tables.due': ['payment-todo', 'money-hold'],
    'provider.authorize': [],
    'provider.capture': [],
    'provider.void': [],
    'provider.refund': [],
    'provider.find': [],
  },
};

/** The types of the events that a service appends. */
export const appendedBy = (service: Service): readonly string[] => OWN[service]['store.append']!;

/** Every point of every service. */
export const points: readonly Point[] = services.flatMap((service) => {
  const { topic, hears, projections } = facts[service];
  const names = projections.map(({ name }) => name);
  const steps: Record<string, readonly string[]> = {
    ...OWN[service],
    'bus.publish': Object.keys(topic.schemas),
    'bus.handle': hears.flatMap(({ schemas }) => Object.keys(schemas)),
    'tables.checkpoint': names,
    'tables.load': names,
    'tables.commit': names,
    'checkpoints.load': [service],
    'checkpoints.save': [service],
    'parked.parkedKeys': [service],
    'parked.park': [service],
    'parked.due': [service],
    'parked.settle': [],
  };
  return Object.entries(steps).flatMap(([step, abouts]) =>
    (abouts.length > 0 ? abouts : [undefined]).flatMap((about) =>
      (['before', 'after'] as const).map((moment) => ({
        service,
        step,
        ...(about === undefined ? {} : { about }),
        moment,
      })),
    ),
  );
});

/** As it is counted and shown: `order: after store.append OrderPlaced`. */
export function nameOf({ service, step, about, moment }: Point): string {
  return `${service}: ${moment} ${step}${about === undefined ? '' : ` ${about}`}`;
}

export function isAt(point: Point, step: Step, moment: Moment): boolean {
  return (
    point.moment === moment &&
    point.step === step.point &&
    (point.about === undefined || step.about.includes(point.about))
  );
}
