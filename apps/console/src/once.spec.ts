import { beforeEach, expect, test, vi } from 'vitest';
import { LarderProblem, type Order, type OrderRequest } from '#client';
import { session, shop } from './gateway.js';
import { placeOnce } from './once.js';

const honey: OrderRequest = { lines: [{ sku: 'honey', quantity: 1 }], payment: { token: 'tok_of_a_card' } };
const tea: OrderRequest = { ...honey, lines: [{ sku: 'tea', quantity: 1 }] };

let keys: (string | undefined)[];
let failure: Error | undefined;
let kept: Storage;

/** What a browser keeps for a tab. */
function newStorage(): Storage {
  const all = new Map<string, string>();
  return {
    getItem: (name: string) => all.get(name) ?? null,
    setItem: (name: string, value: string) => void all.set(name, value),
    removeItem: (name: string) => void all.delete(name),
    clear: () => all.clear(),
    key: (i: number) => [...all.keys()][i] ?? null,
    get length() {
      return all.size;
    },
  };
}

const as = (subject: string) => (session.value = { caller: { subject, name: subject, roles: [], may: [] } });

beforeEach(() => {
  [keys, failure, kept] = [[], undefined, newStorage()];
  as('ada');
  vi.spyOn(shop, 'placeOrder').mockImplementation(async (_, { idempotencyKey } = {}) => {
    keys.push(idempotencyKey);
    if (failure) throw failure;
    return { orderId: 'o' } as Order;
  });
});

const failing = (with_: Error) => {
  failure = with_;
};

test.each([
  ['got no answer', new Error('The gateway does not answer.')],
  ['was answered with 503', new LarderProblem(503, 'unavailable', 'Try again.', undefined)],
  ['was refused when it was sent again', new LarderProblem(429, 'too-many-requests', 'Wait.', undefined)],
])('an order that %s keeps its key until it is placed', async (_, error) => {
  failing(error);
  await expect(placeOnce(honey, kept)).rejects.toBe(error);
  await expect(placeOnce(honey, kept)).rejects.toBe(error);
  failure = undefined;
  await placeOnce(honey, kept);
  expect(new Set(keys).size).toBe(1);
  await placeOnce(honey, kept); // Who wants it twice gets it twice.
  expect(new Set(keys).size).toBe(2);
});

test('another order, and one of another person, has another key, and both are kept', async () => {
  failing(new Error('No answer.'));
  for (const order of [honey, tea, honey]) await placeOnce(order, kept).catch(() => {});
  as('bob');
  await placeOnce(honey, kept).catch(() => {});
  const [first, other, again, ofBob] = keys;
  expect(again).toBe(first);
  expect(new Set([first, other, ofBob]).size).toBe(3);
});

test('what it is paid with is not kept in the browser', async () => {
  failing(new Error('No answer.'));
  await placeOnce(honey, kept).catch(() => {});
  expect(`${kept.key(0)} ${kept.getItem(kept.key(0)!)}`).not.toMatch(/tok_|honey|ada/);
});
