import { describe, expect, test } from 'vitest';
import { stateAfter } from '#decider';
import { given } from '#decider/scenario';
import { eventsOf, goldenEvents, goldenShapes, shapesOf } from '#test/golden';
import { upcasters } from '../upcasters.js';
import { reservation, type ReservationCommand, type ReservationEvent } from './reservation.js';

const lines = [
  { sku: 'olive-oil', quantity: 2 },
  { sku: 'sea-salt', quantity: 1 },
];
const made: ReservationEvent = { type: 'ReservationMade', data: { lines } };
const rejected: ReservationEvent = { type: 'ReservationRejected', data: { short: ['sea-salt'] } };
const released: ReservationEvent = { type: 'ReservationReleased', data: { lines } };
const shipped: ReservationEvent = { type: 'ReservationShipped', data: { lines } };
const returned: ReservationEvent = { type: 'ReservationReturned', data: { lines } };
const blocked: ReservationEvent = { type: 'ReservationBlocked', data: {} };

const commands = {
  'Reserve, enough': { type: 'Reserve', lines, short: [] },
  'Reserve, too little': { type: 'Reserve', lines, short: ['sea-salt'] },
  Release: { type: 'Release' },
  Ship: { type: 'Ship' },
  GiveUp: { type: 'GiveUp' },
} as const satisfies Record<string, ReservationCommand>;

/** Every state: how a reservation gets there, and each command that has an effect on it, or is refused. */
const machine: Record<
  string,
  { history: ReservationEvent[]; answers: Partial<Record<keyof typeof commands, ReservationEvent | string>> }
> = {
  none: {
    history: [],
    answers: {
      'Reserve, enough': made,
      'Reserve, too little': rejected,
      Release: blocked,
      Ship: 'nothing-reserved',
      GiveUp: 'nothing-held',
    },
  },
  made: { history: [made], answers: { Release: released, Ship: shipped, GiveUp: released } },
  rejected: { history: [rejected], answers: { Ship: 'nothing-reserved', GiveUp: 'nothing-held' } },
  released: { history: [made, released], answers: { GiveUp: 'nothing-held' } },
  shipped: { history: [made, shipped], answers: { Release: returned, GiveUp: 'nothing-held' } },
  'returned, after a person called the order off': {
    history: [made, shipped, returned],
    answers: { GiveUp: 'nothing-held' },
  },
  'blocked by a cancellation that came first': {
    history: [blocked],
    answers: { Ship: 'nothing-reserved', GiveUp: 'nothing-held' },
  },
};

describe.each(Object.entries(machine))('%s', (_state, { history, answers }) => {
  test.each(Object.keys(commands) as (keyof typeof commands)[])('%s', (name) => {
    const { then, thenNothing, thenRefused } = given(reservation, ...history).when(commands[name]);
    const answer = answers[name];
    if (answer === undefined) return thenNothing();
    return typeof answer === 'string' ? thenRefused(answer) : then(answer);
  });
});

const golden = await goldenEvents<ReservationEvent>(new URL('../golden/', import.meta.url), upcasters);

test('its events have the shapes of its golden files, and no others', () => {
  const { 'Reserve, enough': reserve, 'Reserve, too little': refuse, Release, Ship } = commands;
  const today = [
    ...eventsOf(reservation, reserve, Release),
    ...eventsOf(reservation, reserve, Ship, Release),
    ...eventsOf(reservation, refuse),
    ...eventsOf(reservation, Release),
  ];
  expect(shapesOf(today)).toEqual(goldenShapes('reservation', golden));
});

test.each([
  ['rejected', 'ReservationRejected'],
  ['blocked', 'ReservationBlocked'],
  ['made', 'ReservationMade'],
  ['released', 'ReservationMade ReservationReleased'],
  ['shipped', 'ReservationMade ReservationShipped'],
  ['returned', 'ReservationMade ReservationShipped ReservationReturned'],
])('reservations of the past can be read: %s after %s', (status, history) => {
  const events = history.split(' ').map((name) => golden[`${name}.v1`]!);
  const state = stateAfter(reservation, events);
  expect(state).toEqual(['made', 'shipped'].includes(status) ? { status, ...events[0]!.data } : { status });
});
