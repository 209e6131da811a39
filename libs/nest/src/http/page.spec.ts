import { expect, test } from 'vitest';
import { z } from 'zod';
import { orderId, sku } from '#contracts';
import { cursor, inDigits, moment, pageLimit, toPage } from './page.js';

const id = '11111111-1111-4111-8111-111111111111';
const at = '2026-11-29T12:00:00.000Z';
const encoded = (text: string) => Buffer.from(text).toString('base64url');
const orders = cursor(moment, orderId);

test('a number of the query is written in digits, within its limits', () => {
  expect([pageLimit.parse('007'), pageLimit.parse(undefined), inDigits(z.int()).parse('-3')]).toEqual([7, 50, -3]);
  expect(inDigits(z.int()).parse(`${Number.MAX_SAFE_INTEGER}`)).toBe(Number.MAX_SAFE_INTEGER);
  expect(inDigits(z.int()).safeParse(`${Number.MAX_SAFE_INTEGER + 2}`).success).toBe(false);
  for (const text of ['0x10', '1e2', '', ' 5', '5.0', '٥', '201', '0', ['5', '6'], '9'.repeat(400)]) {
    expect(pageLimit.safeParse(text).success, String(text)).toBe(false);
  }
});

test('`next` of a page leads to what follows it, and the last page has none', () => {
  const rows = [1, 2, 3].map((n) => ({ n, at, id }));
  const page = toPage(
    rows,
    2,
    ({ n }) => n,
    (row) => [row.at, row.id],
  );
  expect(page.items).toEqual([1, 2]);
  expect(orders.parse(page.next)).toEqual([at, id]);
  expect(
    toPage(
      rows,
      3,
      ({ n }) => n,
      (row) => [row.at, row.id],
    ),
  ).toEqual({ items: [1, 2, 3] });
});

test.each([
  '-000001-01-01T00:00:00.000Z',
  '+275760-09-13T00:00:00.000Z',
  '0000-01-01T00:00:00.000Z',
  '1969-12-31T23:59:59.999Z',
  '2026-02-30T00:00:00.000Z',
  '2026-11-29T12:00:00Z',
  '2026-11-29T12:00:00.000+01:00',
  '2026-11-29',
  'yesterday',
  '',
])('a cursor of the time %s is refused', (time) => {
  const { success, error } = z.object({ cursor: orders }).safeParse({ cursor: encoded(`${time} ${id}`) });
  expect(success).toBe(false);
  expect(error!.issues).toMatchObject([
    { path: ['cursor'], message: 'This cursor was not issued by this service: send `next` of the previous page.' },
  ]);
});

test.each([
  ['not base64url', 'no'],
  ['without an id', encoded(at)],
  ['of more than it should', encoded(`${at} ${id} ${id}`)],
  ['of an id that is none', encoded(`${at} 1`)],
  ['of an id in another spelling', encoded(`${at} ABCDEF11-1111-4111-8111-111111111111`)],
  ['with something behind it', `${encoded(`${at} ${id}`)}=`],
  ['that is too long', encoded(`${at} ${id}`.repeat(10))],
  ['of another list', encoded('olive-oil')],
])('a cursor %s is refused', (_what, text) => expect(orders.safeParse(text).success).toBe(false));

test('a cursor with U+0000 is refused', () =>
  expect(cursor(sku).safeParse(encoded('olive\u0000oil')).success).toBe(false));
