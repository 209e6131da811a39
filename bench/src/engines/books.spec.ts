import { expect, test } from 'vitest';
import { type Books, judge } from './books.js';

const TERMS = { stocked: 100, unitMinor: 5 };

const ORDER = { orderId: 'o1', status: 'completed', sku: 'honey', quantity: 2 };
const RIGHT: Books = {
  orders: [ORDER, { ...ORDER, orderId: 'o2', sku: 'coffee' }],
  shelves: [
    { sku: 'honey', available: 98, reserved: 0 },
    { sku: 'coffee', available: 98, reserved: 0 },
    { sku: 'bread', available: 100, reserved: 0 },
  ],
  ledger: [
    { orderId: 'o2', heldMinor: 0, capturedMinor: 10 },
    { orderId: 'o1', heldMinor: 0, capturedMinor: 10 },
  ],
};

test('books that add up say how many orders are completed', () => {
  expect(judge(RIGHT, TERMS)).toBe(2);
});

test.each<[string, (books: Books) => Books, RegExp]>([
  [
    'an order that stopped on its way',
    (books) => ({ ...books, orders: [{ ...ORDER, status: 'confirmed' }, books.orders[1]!] }),
    /Order o1 is confirmed/,
  ],
  ['an order that is there twice', (books) => ({ ...books, orders: [ORDER, ORDER] }), /Order o1 is there twice/],
  [
    'a unit that is gone and was sold to nobody',
    (books) => ({ ...books, shelves: [{ ...books.shelves[0]!, available: 97 }, ...books.shelves.slice(1)] }),
    /3 units of honey are gone, and 2 are sold/,
  ],
  [
    'a unit that was sold and is still there',
    (books) => ({ ...books, shelves: [...books.shelves.slice(0, 2), { sku: 'bread', available: 101, reserved: 0 }] }),
    /-1 units of bread are gone, and 0 are sold/,
  ],
  [
    'units that stay reserved',
    (books) => ({ ...books, shelves: [{ ...books.shelves[0]!, reserved: 2 }, ...books.shelves.slice(1)] }),
    /2 units of honey are held for nobody/,
  ],
  ['a sale without a shelf', (books) => ({ ...books, shelves: books.shelves.slice(1) }), /no shelf/],
  ['an order that nobody has paid for', (books) => ({ ...books, ledger: books.ledger.slice(1) }), /o2 is completed/],
  [
    'money without an order',
    (books) => ({ ...books, ledger: [...books.ledger, { ...books.ledger[0]!, orderId: 'o3' }] }),
    /no order has that id/,
  ],
  [
    'money that was taken twice',
    (books) => ({ ...books, ledger: [{ ...books.ledger[0]!, capturedMinor: 20 }, books.ledger[1]!] }),
    /20 of 10 were taken for o2/,
  ],
  [
    'a hold that stays',
    (books) => ({ ...books, ledger: [{ ...books.ledger[0]!, heldMinor: 10 }, books.ledger[1]!] }),
    /holds 10 for o2/,
  ],
])('%s is an error', (_, spoil, error) => {
  expect(() => judge(spoil(RIGHT), TERMS)).toThrow(error);
});
