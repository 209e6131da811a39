/** The promises of the key store, proved for an adapter: `open` gives two instances on the same store, of its own. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import type { CustomerKeys } from './port.js';

export function keyStoreContract(open: () => Promise<readonly [CustomerKeys, CustomerKeys]>): void {
  test('a customer has one key, the same at every instance; another customer has another', async () => {
    const [one, other] = await open();
    const [ada, bob] = [randomUUID(), randomUUID()];
    const key = await one.current(ada);
    expect(key.secret).toHaveLength(32);
    expect(key.kid).toMatch(/^[\w-]{22}$/);
    expect(await other.current(ada)).toMatchObject({ kid: key.kid, secret: key.secret });
    const another = await other.current(bob);
    expect(another.kid).not.toBe(key.kid);
    expect(another.secret.equals(key.secret)).toBe(false);
  });

  test('whoever asks first at the same moment, of several instances, gets the same key', async () => {
    const [one, other] = await open();
    const ada = randomUUID();
    const keys = await Promise.all(Array.from({ length: 40 }, (_, i) => (i % 2 ? one : other).current(ada)));
    expect(new Set(keys.map(({ kid }) => kid)).size).toBe(1);
    expect(new Set(keys.map(({ secret }) => secret.toString('hex'))).size).toBe(1);
  });

  test('a closed key opens and no longer seals; closed again it is the same', async () => {
    const [one, other] = await open();
    const ada = randomUUID();
    const old = await one.current(ada);
    await one.close([old.kid]);
    await other.close([old.kid]);
    const current = await other.current(ada);
    expect(current.kid).not.toBe(old.kid);
    expect(await one.current(ada)).toMatchObject({ kid: current.kid });
    expect(await other.find(old.kid)).toMatchObject({ kid: old.kid, secret: old.secret });
  });

  test('an erased key is gone, at every instance, and stays so whatever comes', async () => {
    const [one, other] = await open();
    const ada = randomUUID();
    const old = await one.current(ada);
    const bobs = await one.current(randomUUID());
    expect(await one.erase([old.kid, 'unknown'])).toBe(1);
    expect(await other.find(old.kid)).toBeUndefined();
    expect(await other.erase([old.kid])).toBe(0);
    await other.close([old.kid]);
    expect((await other.current(ada)).kid).not.toBe(old.kid);
    expect(await other.find(old.kid)).toBeUndefined();
    expect(await other.find(bobs.kid)).toMatchObject({ secret: bobs.secret });
  });

  test('what is unknown is neither found nor closed nor erased', async () => {
    const [one] = await open();
    expect(await one.find('unknown')).toBeUndefined();
    await one.close(['unknown']);
    expect(await one.erase(['unknown'])).toBe(0);
    expect(await one.erase([])).toBe(0);
    await one.ping();
  });
}
