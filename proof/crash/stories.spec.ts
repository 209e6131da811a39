import { expect, test } from 'vitest';
import { parseStory } from '../../apps/console/src/story/file.js';
import { layOut } from '../../apps/console/src/story/layout.js';
import type { Story } from '../../apps/gateway/src/api.js';
import { struckBy } from './stories.js';

const at = (ms: number) => new Date(Date.UTC(2026, 10, 21, 12) + ms).toISOString();

/** A story of `[ms, service, type]`, told a minute later. */
function story(orderId: string, ...facts: [number, string, string][]): Story {
  return {
    orderId,
    at: at(60_000),
    complete: true,
    missing: [],
    ahead: { awaits: [], choices: [] },
    facts: facts.map(([ms, service, type], revision) => ({
      id: `${orderId}/${revision}`,
      service,
      stream: `${service}-${orderId}`,
      revision,
      type,
      data: {},
      recordedAt: at(ms),
      shown: {},
    })),
  };
}

const kill = { killedMs: 7, at: at(1_000), until: at(2_500), service: 'payment', what: 'killed' };
const before = { when: 'before', about: 'PaymentCaptured' };
const after = { when: 'after', about: 'PaymentCaptured' };

const over = story('over', [0, 'order', 'OrderPlaced'], [990, 'payment', 'PaymentCaptured']);
const captured = story(
  'captured',
  [10, 'order', 'OrderPlaced'],
  [980, 'payment', 'PaymentCaptured'],
  [2_600, 'order', 'OrderCompleted'],
);
const waiting = story(
  'waiting',
  [20, 'order', 'OrderPlaced'],
  [985, 'payment', 'PaymentAuthorized'],
  [2_700, 'payment', 'PaymentCaptured'],
);
const other = story('other', [30, 'order', 'OrderPlaced'], [2_550, 'inventory', 'ReservationShipped']);
const later = story('later', [2_510, 'order', 'OrderPlaced'], [2_560, 'payment', 'PaymentCaptured']);
const stories = [over, captured, other, waiting, later];

test('the story of a crash opens in the console, ends with the order, and shows from when to when the victim was away', () => {
  const kept = struckBy(before, [kill], stories)!;
  const opened = parseStory(JSON.stringify(kept));
  expect(opened).toEqual(kept);
  const trouble = { at: kill.at, until: kill.until, service: 'payment', what: 'killed' };
  expect(opened).toMatchObject({ at: at(2_700), troubles: [trouble] });
  expect(opened).not.toHaveProperty('ahead');
  const { strikes, lanes, points, xOf } = layOut(opened);
  const { y, height } = lanes.find(({ name }) => name === 'payment')!;
  expect(strikes).toHaveLength(1);
  expect(strikes[0]).toMatchObject({ trouble, x: xOf(kill.at), untilX: xOf(kill.until) });
  expect(strikes[0]!.y).toBeGreaterThan(y);
  expect(strikes[0]!.y).toBeLessThan(y + height);
  expect(points[1]!.x).toBeLessThan(strikes[0]!.x);
  expect(points[2]!.x).toBeGreaterThan(strikes[0]!.untilX!);
});

test.each([
  ['before an append: whose event came next', before, stories, 'waiting'],
  ['after an append: whose event was the last', after, stories, 'captured'],
  ['at another step: what the victim did next', { when: 'before', about: 'payment-todo' }, stories, 'waiting'],
  ['at another step: what the victim did last', { when: 'after', about: 'payment-todo' }, stories, 'waiting'],
  ['where the victim did nothing: what was nearest', before, [other, over], 'other'],
  ['where nothing was under way: none', before, [over, later], undefined],
])('of a crash %s', (_what, crash, told, orderId) => {
  expect(struckBy(crash, [kill], told)?.orderId).toBe(orderId);
});

test('an order that has no end is told rather than any other', () => {
  const awaits = [{ what: 'payment', from: 'payment', since: at(30) }];
  const lost = { ...story('lost', [30, 'order', 'OrderPlaced']), ahead: { awaits, choices: [] } };
  expect(struckBy(before, [kill], [...stories, lost])).toMatchObject({
    orderId: 'lost',
    at: at(60_000),
    ahead: { awaits },
  });
});

test('of a server that was killed several times each kill is told that the order lived through', () => {
  const kills = [-500, 500, 1_500].map((ms) => ({ killedMs: 0, at: at(ms), until: at(ms + 300), what: 'killed' }));
  const { troubles } = struckBy({ when: 'amid the load' }, kills, stories)!;
  expect(troubles!.map((trouble) => trouble.at)).toEqual([at(500), at(1_500)]);
});

test('a victim that did not die struck nothing', () => {
  expect(struckBy(before, [], stories)).toBeUndefined();
});
