/**
 * Where a service can be struck: every step by which it reaches outside, and what the step may be about. The list is
 * declared and not gathered from runs, so that a coverage report can name what was never reached.
 */
import { type Service, services, shop } from '../../apps/shop.js';
import type { Step } from '../interruptible.js';

export type Moment = 'before' | 'after';

/** A step, what it is about (undefined where it is about nothing in particular), and on which side of its effect. */
export interface Point {
  readonly service: Service;
  readonly step: string;
  readonly about?: string;
  readonly moment: Moment;
}

/** What is peculiar to a service; all else follows from its definition. */
const OWN: Partial<Record<Service, Record<string, readonly string[]>>> = {
  order: {
    'store.head': [],
    'tables.due': ['order-todo', 'customer-erasure'],
    'keys.current': [],
    'keys.find': [],
    'keys.close': [],
    'keys.erase': [],
  },
  inventory: { 'tables.due': ['stock-hold'] },
  payment: {
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
export const appendedBy = (service: Service): readonly string[] => Object.keys(shop[service].upcasters);

/** The categories that a service follows, for its relay and its projections. */
function followedBy(service: Service): string[] {
  const { aggregates, relays, projections } = shop[service];
  const followed = new Set<string>([...relays, ...projections.flatMap(({ categories }) => categories)]);
  return Object.keys(aggregates).filter((category) => followed.has(category));
}

/** Every point of every service. */
export const points: readonly Point[] = services.flatMap((service) => {
  const { aggregates, publishes, subscribes, projections } = shop[service];
  const names = projections.map(({ name }) => name);
  const steps: Record<string, readonly string[]> = {
    'store.append': appendedBy(service),
    'store.read': Object.keys(aggregates),
    'store.subscribe': followedBy(service),
    ...OWN[service],
    'bus.publish': Object.keys(publishes.schemas),
    'bus.handle': subscribes.flatMap(({ schemas }) => Object.keys(schemas)),
    'tables.checkpoint': names,
    'tables.load': names,
    'tables.commit': names,
    'checkpoints.load': [service],
    'checkpoints.save': [service],
    'parked.parkedKeys': [service],
    'parked.park': [service],
    'parked.due': [service],
    'parked.recordRetries': [],
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
