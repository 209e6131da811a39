/** When a trouble begins, strikes and ends. */
import { expect, test } from 'vitest';
import { type Log, silentLog } from '#runtime';
import { ManualClock } from '#runtime/testing';
import { Troubles, type TroubleTable } from './troubles.js';

const about = { does: 'It does something.', see: 'Something is seen.' };
const table = {
  lasting: { ...about, seconds: 60 },
  single: { ...about, seconds: 60, once: true },
} satisfies TroubleTable;

function open(log: Log = silentLog) {
  const clock = new ManualClock('2027-01-01T00:00:00.000Z');
  const troubles = new Troubles<keyof typeof table>(table, { clock, log });
  const stateOf = (name: string) => troubles.states().find((each) => each.name === name);
  return { clock, troubles, stateOf };
}

test('all are off at first, and none strikes', () => {
  const { troubles, stateOf } = open();
  expect(troubles.names).toEqual(['lasting', 'single']);
  expect(troubles.strikes('lasting')).toBe(false);
  expect(stateOf('lasting')).toEqual({ name: 'lasting', ...table.lasting, struck: 0 });
});

test('one that lasts strikes whenever it is asked, and ends by itself when its time is over', async () => {
  const { clock, troubles, stateOf } = open();
  troubles.switchOn('lasting', 'otto');
  expect([troubles.strikes('lasting'), troubles.strikes('lasting'), troubles.strikes('single')]).toEqual([
    true,
    true,
    false,
  ]);
  const until = new Date('2027-01-01T00:01:00.000Z');
  expect(stateOf('lasting')).toEqual({ name: 'lasting', ...table.lasting, actor: 'otto', struck: 2, until });
  const signal = troubles.lasting('lasting')!;
  await clock.advance(59_999);
  expect(signal.aborted).toBe(false);
  await clock.advance(1);
  expect([signal.aborted, troubles.strikes('lasting')]).toEqual([true, false]);
  // What it has done stays to be seen.
  expect(stateOf('lasting')).toEqual({ name: 'lasting', ...table.lasting, actor: 'otto', struck: 2 });
});

test('one that strikes once is over with that, and one that meets nothing ends by itself', async () => {
  const { clock, troubles } = open();
  troubles.switchOn('single', 'otto');
  expect([troubles.strikes('single'), troubles.strikes('single')]).toEqual([true, false]);
  troubles.switchOn('single', 'otto');
  await clock.advance(60_000);
  expect(troubles.strikes('single')).toBe(false);
});

test('it is switched off by hand, and leaves no timer', () => {
  const { clock, troubles } = open();
  troubles.switchOn('lasting', 'otto');
  const signal = troubles.lasting('lasting')!;
  troubles.switchOff('lasting');
  expect([signal.aborted, troubles.strikes('lasting'), clock.sleeping]).toEqual([true, false, 0]);
  troubles.switchOff('single'); // It is off already.
});

test('switched on again it begins anew: its time, its count, and who wanted it', async () => {
  const { clock, troubles, stateOf } = open();
  const begun: string[] = [];
  const forget = troubles.onBegin('lasting', () => begun.push('lasting'));
  troubles.switchOn('lasting', 'otto');
  troubles.strikes('lasting');
  await clock.advance(40_000);
  troubles.switchOn('lasting', 'olga');
  await clock.advance(40_000);
  expect(stateOf('lasting')).toMatchObject({ actor: 'olga', struck: 0, until: new Date('2027-01-01T00:01:40.000Z') });
  await clock.advance(20_000);
  expect(troubles.lasting('lasting')).toBeUndefined();
  forget();
  troubles.switchOn('lasting', 'olga');
  expect(begun).toEqual(['lasting', 'lasting']);
});
