import { describe, expect, test } from 'vitest';
import type { Story, StoryFact } from '../../../gateway/src/api.js';
import { knownAt, labelOf, layOut } from './layout.js';

const START = Date.parse('2026-11-21T12:00:00Z');
const at = (ms: number) => new Date(START + ms).toISOString();

/** A fact `ms` after the start, of the stream `<service>-1`. */
function fact(id: string, service: string, ms: number, more: Partial<StoryFact> = {}): StoryFact {
  return {
    id,
    service,
    stream: `${service}-1`,
    revision: 0,
    position: '1',
    type: 'OrderPlaced',
    data: {},
    recordedAt: at(ms),
    correlationId: 'c',
    causationId: 'a request',
    shown: {},
    ...more,
  };
}

const story = (facts: readonly StoryFact[], toldMs: number): Story => ({
  orderId: '1',
  at: at(toldMs),
  complete: true,
  missing: [],
  facts,
});

describe('where facts stand', () => {
  test('later ones stand to the right of earlier ones, and now to the right of all', () => {
    const facts = [0, 0, 1, 40, 5_000].map((ms, i) => fact(`${i}`, i % 2 ? 'payment' : 'order', ms));
    const { points, nowX } = layOut(story(facts, 6_000));
    const xs = points.map(({ x }) => x);
    expect([...xs].sort((a, b) => a - b)).toEqual(xs);
    expect(new Set(xs).size).toBe(xs.length);
    expect(nowX).toBeGreaterThan(xs.at(-1)!);
  });

  test('those of one lane leave room for their names, however close they are in time', () => {
    const facts = Array.from({ length: 20 }, (_, i) => fact(`${i}`, 'order', 0));
    const xs = layOut(story(facts, 0)).points.map(({ x }) => x);
    for (const [i, x] of xs.slice(1).entries()) expect(x - xs[i]!).toBeGreaterThanOrEqual(50);
  });

  test('a year takes no more room than the screen has, and says that it was one', () => {
    const { gaps, nowX } = layOut(
      story([fact('a', 'order', 0), fact('b', 'order', 365 * 86_400_000)], 365 * 86_400_000),
    );
    expect(nowX).toBeLessThan(500);
    expect(gaps).toEqual([expect.objectContaining({ ms: 365 * 86_400_000 })]);
  });

  test('what takes less than a second is no gap', () => {
    expect(layOut(story([fact('a', 'order', 0), fact('b', 'order', 999)], 1_000)).gaps).toEqual([]);
  });

  test('a clock that was set back moves nothing to the left', () => {
    const { points, nowX } = layOut(story([fact('a', 'order', 500), fact('b', 'payment', 100)], 50));
    expect(points[1]!.x).toBeGreaterThan(points[0]!.x);
    expect(nowX).toBeGreaterThan(points[1]!.x);
  });

  test('a story without facts has no lanes, and a now', () => {
    const { lanes, points, nowX } = layOut(story([], 0));
    expect([lanes, points]).toEqual([[], []]);
    expect(nowX).toBeGreaterThan(0);
  });

  test('a thousand facts are laid out before anybody notices', () => {
    const services = ['order', 'inventory', 'payment'];
    const facts = Array.from({ length: 1_000 }, (_, i) =>
      fact(`${i}`, services[i % 3]!, i * 7, {
        causationId: `${i - 1}`,
        shown: { summary: at(i * 7 + 20), todo: null },
      }),
    );
    const told = story(facts, 10_000);
    layOut(told);
    const fastest = Math.min(
      ...Array.from({ length: 5 }, () => {
        const sinceMs = performance.now();
        layOut(told);
        return performance.now() - sinceMs;
      }),
    );
    expect(fastest).toBeLessThan(100);
  });
});

describe('lanes', () => {
  test('the bus is between the order and the others, where a message has crossed', () => {
    const facts = [
      fact('a', 'order', 0),
      fact('b', 'payment', 10, { causationId: 'a' }),
      fact('c', 'inventory', 20, { causationId: 'a' }),
    ];
    const { lanes, links } = layOut(story(facts, 30));
    expect(lanes.map(({ name }) => name)).toEqual(['order', 'bus', 'inventory', 'payment']);
    for (const { from, to, bus } of links) {
      expect(bus!.y).toBe(lanes[1]!.center);
      expect(bus!.x).toBeGreaterThan(from.x);
      expect(bus!.x).toBeLessThan(to.x);
    }
  });

  test('what a service did by itself crosses no bus, and what it caused itself has no cause', () => {
    const facts = [
      fact('a', 'order', 0),
      fact('b', 'order', 10, { causationId: 'a' }),
      fact('c', 'order', 20, { causationId: 'c' }),
    ];
    const { lanes, links } = layOut(story(facts, 30));
    expect(lanes.map(({ name }) => name)).toEqual(['order']);
    expect(links.map(({ to, bus }) => [to.fact.id, bus])).toEqual([['b', undefined]]);
  });
});

describe('read models', () => {
  test('show a fact to the right of it, and not beyond now', () => {
    const { points, showings, nowX } = layOut(
      story([fact('a', 'order', 0, { shown: { summary: at(30), late: at(90_000) } })], 1_000),
    );
    expect(showings.map(({ readModel }) => readModel)).toEqual(['late', 'summary']);
    for (const { x } of showings) {
      expect(x).toBeGreaterThan(points[0]!.x);
      expect(x).toBeLessThanOrEqual(nowX);
    }
  });

  test('that do not show it yet have it open until now; those that never do have nothing', () => {
    const facts = [fact('a', 'order', 0, { shown: { summary: null } }), fact('b', 'order', 1)];
    const { showings, nowX } = layOut(story(facts, 1_000));
    expect(showings).toEqual([expect.objectContaining({ readModel: 'summary', at: undefined, x: nowX })]);
  });
});

describe('the provider', () => {
  const facts = [
    fact('a', 'payment', 0, { type: 'PaymentRequested' }),
    fact('b', 'payment', 90, { type: 'PaymentAuthorized' }),
    fact('c', 'payment', 200, { type: 'PaymentCaptureRequested' }),
    fact('d', 'payment', 300, { type: 'PaymentMovedByProvider' }),
  ];

  test('has a lane of its own, below all, from what asks to what answers', () => {
    const exchanges = [
      { what: 'authorize', asked: 'a', answer: 'b', by: 'call' as const },
      { what: 'capture', asked: 'c' },
      { what: 'tell', answer: 'd', by: 'webhook' as const },
    ];
    const { lanes, askings, height } = layOut({ ...story(facts, 1_000), exchanges });
    expect(lanes.map(({ name }) => name)).toEqual(['payment', 'provider']);
    const { y, height: laneHeight } = lanes[1]!;
    for (const asking of askings) {
      expect(asking.y).toBeGreaterThan(y);
      expect(asking.y).toBeLessThan(y + laneHeight);
    }
    expect(height).toBeGreaterThan(y + laneHeight);
    expect(askings.map(({ label, from, to }) => [label, from?.fact.id, to?.fact.id])).toEqual([
      ['authorize', 'a', 'b'],
      ['capture', 'c', undefined],
      ['Moved by provider', undefined, 'd'],
    ]);
    expect(askings[0]!.y).not.toBe(askings[1]!.y);
  });

  test('has none where nothing is told of it, and what names no fact of the story is left out', () => {
    expect(layOut(story(facts, 1_000)).lanes.map(({ name }) => name)).toEqual(['payment']);
    const exchanges = [{ what: 'authorize', asked: 'elsewhere' }];
    expect(layOut({ ...story(facts, 1_000), exchanges }).askings).toEqual([]);
  });
});

test('what went wrong stands at its instant, in the lane that it struck or above all', () => {
  const troubles = [
    { at: at(50), service: 'payment', what: 'it was killed' },
    { at: at(60), service: 'elsewhere', what: 'it has no lane' },
    { at: at(70), what: 'all stood still' },
  ];
  const told = { ...story([fact('a', 'order', 0), fact('b', 'payment', 100)], 200), troubles };
  const { lanes, points, strikes } = layOut(told);
  expect(strikes.map(({ trouble }) => trouble)).toEqual(troubles);
  const xs = strikes.map(({ x }) => x);
  expect([points[0]!.x, ...xs, points[1]!.x]).toEqual([points[0]!.x, ...xs, points[1]!.x].sort((a, b) => a - b));
  const { y, height } = lanes.find(({ name }) => name === 'payment')!;
  expect(strikes[0]!.y).toBeGreaterThan(y);
  expect(strikes[0]!.y).toBeLessThan(y + height);
  for (const strike of strikes.slice(1)) expect(strike.y).toBeLessThan(lanes[0]!.y);
});

test('what went wrong lasts until it was over, where that is told', () => {
  const facts = [fact('a', 'order', 0), fact('b', 'order', 5_000)];
  const troubles = [
    { at: at(50), service: 'order', what: 'it was killed', until: at(1_500) },
    { at: at(60), what: 'it was slow' },
  ];
  const { strikes, xOf } = layOut({ ...story(facts, 6_000), troubles });
  expect(strikes.map(({ untilX }) => untilX)).toEqual([xOf(at(1_500)), undefined]);
  expect(strikes[0]!.untilX).toBeGreaterThan(strikes[0]!.x);
});

test('the instants are those at which something happened or was shown, and now', () => {
  const facts = [fact('a', 'order', 0, { shown: { summary: at(30), todo: null } }), fact('b', 'payment', 30)];
  expect(layOut(story(facts, 1_000)).instants).toEqual([at(0), at(30), at(1_000)]);
});

test('at an instant, what was known is what was recorded, and what was shown of it', () => {
  const facts = [
    fact('a', 'order', 0, { shown: { summary: at(30) } }),
    fact('b', 'order', 10, { shown: { summary: null, todo: at(12) } }),
  ];
  const told = story(facts, 1_000);
  expect(knownAt(told, at(0))).toEqual({ facts: 1, readModels: [{ name: 'summary', shown: 0, of: 1 }] });
  expect(knownAt(told, at(30))).toEqual({
    facts: 2,
    readModels: [
      { name: 'summary', shown: 1, of: 2 },
      { name: 'todo', shown: 1, of: 1 },
    ],
  });
});

test.each([
  ['OrderStockReserved', 'order-1', 'Stock reserved'],
  ['PaymentAuthorized', 'payment-1', 'Authorized'],
  ['EntryMade', 'stock-honey', 'Entry made'],
  ['Order', 'order-1', 'Order'],
])('%s of %s is called "%s"', (type, stream, label) => expect(labelOf({ type, stream })).toBe(label));
