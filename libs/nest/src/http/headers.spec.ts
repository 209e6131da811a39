import { expect, test } from 'vitest';
import { causeOf } from './correlation.js';
import { nameBasedIds, parseIdempotencyKey } from './idempotency.js';
import { formatPosition } from './position-header.js';
import { parsePosition } from './position.js';
import { parsePreferWait } from './prefer.js';

test.each([
  ['5f0c2a3e-7f0d-4c5c-9a43-1f2e3d4c5b6a', '5f0c2a3e-7f0d-4c5c-9a43-1f2e3d4c5b6a'],
  ['"5f0c"', '5f0c'],
  ['"with space, comma \\" and \\\\"', 'with space, comma " and \\'],
  ['a'.repeat(255), 'a'.repeat(255)],
])('the Idempotency-Key %s is taken', (header, key) => expect(parseIdempotencyKey(header)).toBe(key));

test.each(['', '""', '"', '"a', 'a"b', '"a"b"', 'a b', 'a, b', 'a\tb', '"a\tb"', '"a\\b"', 'é', 'a'.repeat(256)])(
  'the Idempotency-Key %j is invalid',
  (header) =>
    expect(() => parseIdempotencyKey(header)).toThrow(
      expect.objectContaining({ status: 400, code: 'idempotency-key-invalid' }),
    ),
);

test('a bare key and the same key in quotes are one key', () =>
  expect(parseIdempotencyKey('"k-1"')).toBe(parseIdempotencyKey('k-1')));

test('an id follows from its parts, and from how they are divided', () => {
  const idOf = nameBasedIds('6ba7b810-9dad-11d1-80b4-00c04fd430c8');
  // Those of the orders that there are do not change: by Python, uuid.uuid5(uuid.NAMESPACE_DNS, '["a","bc"]').
  expect(idOf('a', 'bc')).toBe('34a5d83e-c16e-56fe-9dd2-b9ce439329f7');
  const different = [['a', 'bc'], ['ab', 'c'], ['abc'], ['a', 'b', 'c'], ['a","bc'], ['a,bc'], ['', 'abc']];
  expect(new Set(different.map((parts) => idOf(...parts))).size).toBe(different.length);
});

test('a position is read as it was written, also one that no number can hold', () => {
  const largest = 2n ** 63n - 1n;
  expect(parsePosition('order', formatPosition('order', largest))).toBe(largest);
});

test.each([
  [undefined, undefined],
  ['order:4711', 4711n],
  ['inventory:3', undefined],
  ['inventory:9, order:4711 ,payment:1', 4711n],
  ['order:5,order:7,order:6', 7n],
])('of the header %s this service reads %s', (header, position) =>
  expect(parsePosition('order', header)).toBe(position),
);

test.each([
  '',
  'order',
  'order:',
  'order:x',
  'order:-1',
  'order:1.5',
  ':7',
  'order:7,',
  'order 7',
  'order:9223372036854775808',
])('the position %j is malformed', (header) =>
  expect(() => parsePosition('order', header)).toThrow(
    expect.objectContaining({
      status: 400,
      code: 'invalid-position',
      message: expect.stringMatching(/^Larder-Position .* leave it out\.$/),
    }),
  ),
);

test.each(['basket:7', 'order:7, basket:1', 'orders:7'])(
  'the position %j is of a service that does not exist',
  (header) =>
    expect(() => parsePosition('order', header)).toThrow(
      expect.objectContaining({
        status: 400,
        code: 'unknown-position',
        message: expect.stringMatching(/^Larder-Position .* Send positions of order, inventory, payment\b.*\.$/),
      }),
    ),
);

test.each([
  [undefined, undefined],
  ['wait=5', 5_000],
  ['wait=0', 0],
  ['respond-async, wait=10', 10_000],
  ['WAIT = 3 ; x=y', 3_000],
  ['wait="4"', 4_000],
  ['wait=3600', 30_000],
  ['wait=2, wait=9', 2_000],
  ['wait=soon, wait=9', undefined],
  ['wait', undefined],
  ['wait=', undefined],
  ['wait=-1', undefined],
  ['wait=1.5', undefined],
  ['waiting=5', undefined],
  ['wait-for=5', undefined],
  ['foo="a, wait=9"', undefined],
])('Prefer: %s waits %s ms', (header, ms) => expect(parsePreferWait(header)).toBe(ms));

const ids = '0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331';

// A sender of a later version is part of the trace, too (open-telemetry/opentelemetry-js#979).
test.each([
  [`00-${ids}-01`, `00-${ids}-01`],
  [`01-${ids}-01`, `00-${ids}-01`],
  [`cc-${ids}-0b-what-the-future-will-be-like`, `00-${ids}-01`],
  [`01-${ids}-0a`, `00-${ids}-00`],
])('of the traceparent %s, what version 00 knows is passed on', (traceparent, passedOn) =>
  expect(causeOf({ traceparent }, 'r')).toEqual({
    correlationId: '0af7651916cd43dd8448eb211c80319c',
    causationId: 'r',
    traceparent: passedOn,
  }),
);

test.each([
  `ff-${ids}-01`,
  `00-${ids}-01-more`,
  `01-${ids}-01more`,
  `01-${ids}`,
  `1-${ids}-01`,
  `01-${ids}-01`.toUpperCase(),
])('the traceparent %s counts as absent', (traceparent) =>
  expect(causeOf({ traceparent }, 'r')).toEqual({ correlationId: 'r', causationId: 'r' }),
);
