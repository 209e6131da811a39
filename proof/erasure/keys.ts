/**
 * Whether a key is left that opens a sealed recipient: everything in the key store that could be a key is tried on every
 * sealed text, without the code that seals and opens, and without its checks.
 */
import { createDecipheriv } from 'node:crypto';
import type { Databases } from '../shop/open-shop.js';
import { cellsOf, inDatabase, nameOf, type Sweep, tablesIn } from './places.js';

const KEY_BYTES = 32;

/** Every cell of the key store that is as long as a key, as it is or in hexadecimal or base64. */
export async function keysIn(databases: Databases): Promise<Buffer[]> {
  return inDatabase(databases, nameOf(databases.customer_keys), async (client) => {
    const keys: Buffer[] = [];
    for (const table of await tablesIn(client)) {
      for await (const { text } of cellsOf(client, table)) {
        const readings = [Buffer.from(text.replace(/^\\x/, ''), 'hex'), Buffer.from(text, 'base64url')];
        keys.push(...readings.filter(({ length }) => length === KEY_BYTES));
      }
    }
    return keys;
  });
}

/**
 * The sealed recipients of all orders, from the events: the form is `1.<kid>.<iv>.<ciphertext>.<tag>`. What is not sealed is
 * found where it stands.
 */
export async function sealedIn(databases: Databases): Promise<string[]> {
  return inDatabase(databases, nameOf(databases.order), async (client) => {
    const { rows } = await client.query<{ sealed: string }>(
      `SELECT data::jsonb ->> 'recipient' AS sealed FROM event_store.log WHERE data::jsonb ? 'recipient'`,
    );
    return rows.map(({ sealed }) => sealed).filter((text) => /^1(\.[\w-]+){4}$/.test(text));
  });
}

/** Looks into what each of the keys makes of each of the texts. */
export function searchSealed(sweep: Sweep, sealed: readonly string[], keys: readonly Buffer[]): void {
  for (const text of sealed) {
    for (const key of keys)
      sweep.look('sealed texts', 'sealed recipient, with a key of the key store', decrypt(text, key));
  }
}

/** What GCM encrypts is what CTR does, from the second block on; what it authenticates besides is of no interest here. */
function decrypt(sealed: string, key: Buffer): Buffer {
  const [iv, ciphertext] = sealed
    .split('.')
    .slice(2)
    .map((part) => Buffer.from(part, 'base64url')) as [Buffer, Buffer];
  const decipher = createDecipheriv('aes-256-ctr', key, Buffer.concat([iv, Buffer.from([0, 0, 0, 2])]));
  return Buffer.concat([decipher.update(ciphertext), decipher.final()]);
}
