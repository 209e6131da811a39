/**
 * Leaks to plant, each in another place: a proof that finds none of them proves nothing. Some are what somebody might write
 * into a table by hand; some are a line of code, in an instance of the order service that has it.
 */
import { join } from 'node:path';
import { escapeLiteral } from 'pg';
import type { Service } from '../../apps/shop.js';
import { buildWith, type Edit } from '../edited-build.js';
import { publish, sendOrder } from './fill.js';
import type { Person } from './people.js';
import { backupOf, inDatabase, nameOf } from './places.js';
import type { Searched } from './prove.js';

export interface Leak {
  /** As the command line names it. */
  readonly name: string;
  /** What a finding says of where it is, in a shop whose bus is Postgres. */
  readonly place: string;
  readonly plant: (at: Searched, person: Person) => Promise<void>;
}

/** Texts of a person as SQL writes them. */
interface Literals {
  readonly name: string;
  readonly json: string;
}

export const leaks: readonly Leak[] = [
  code('log', 'log order-', {
    file: 'apps/order/src/http/order.controller.ts',
    replace: '    await this.readYourWrites.refuseUnknown(after);\n    const { lines,',
    by: '    console.log(JSON.stringify(body));\n    await this.readYourWrites.refuseUnknown(after);\n    const { lines,',
  }),
  code('unsealed', 'database of order, table event_store.events, column data', {
    file: 'apps/order/src/personal-data.ts',
    replace: 'recipient: sealRecipient(recipient, key, of)',
    by: 'recipient: JSON.stringify(recipient)',
  }),
  sql('column', 'database of order, table order_summary, column note', 'order', ({ name }) => [
    'ALTER TABLE order_summary ADD COLUMN note text',
    `UPDATE order_summary SET note = ${name}`,
  ]),
  sql('previous-table', 'database of order, table order_summary_before, column status', 'order', ({ name }) => [
    `UPDATE order_summary_before SET status = ${name}`,
  ]),
  sql('snapshot', 'database of inventory, table snapshots, column state', 'inventory', ({ json }) => [
    `UPDATE snapshots SET state = ${json}`,
  ]),
  sql('archive', 'database of order, table event_store.archive, column data', 'order', ({ json }) => [
    `UPDATE event_store.archive SET data = ${json} WHERE type = 'OrderCompleted'`,
  ]),
  sql('dead-letter', 'database of inventory, table parked_messages, column message', 'inventory', ({ json }) => [
    `UPDATE parked_messages SET message = ${json}`,
  ]),
  sql('deleted-row', 'file of checkpoints, database of payment', 'payment', ({ name }) => [
    `INSERT INTO checkpoints (name, position) VALUES (${name}, 1)`,
    `DELETE FROM checkpoints WHERE name = ${name}`,
  ]),
  sql('dropped-table', 'write-ahead log of Postgres', 'order', ({ name }) => [
    `CREATE TABLE guests AS SELECT ${name} AS name`,
    'DROP TABLE guests',
  ]),
  sql('compressed', 'database of payment, table guests, column names', 'payment', ({ name }) => [
    'CREATE TABLE guests (names text STORAGE MAIN)',
    `INSERT INTO guests SELECT string_agg(md5((n % 9)::text) || ${name}, ' ') FROM generate_series(1, 200) AS n`,
  ]),
  sql('backup', "yesterday's backup of order, table order_todo, column wants", 'backup', ({ name }) => [
    `UPDATE order_todo SET wants = ${name}`,
  ]),
  sql('server-log', 'log postgres.log', 'order', ({ name }) => [`DO $$ BEGIN RAISE WARNING '%', ${name}; END $$`]),
  {
    name: 'message',
    place: 'database of bus, table message_bus.messages, column data',
    plant: ({ shop }, { recipient }) => publish(shop, 'nobody', { lines: 'many', recipient }),
  },
  { name: 'key', place: 'sealed recipient, with a key of the key store', plant: bringKeysBack },
  // Last: strangers ask the instance that was added last.
  code('stranger', 'answer to GET /orders/:orderId for a stranger', {
    file: 'apps/order/src/http/order.controller.ts',
    replace: '    const owner = ownerFor(caller);',
    by: '    const owner = undefined;',
  }),
];

/** A line of the code is another, in an instance of the order service at which the person then orders. */
function code(name: string, place: string, edit: Edit): Leak {
  return {
    name,
    place,
    async plant({ shop }, person) {
      const folder = join(shop.folder, name);
      buildWith({ name, edits: [edit] }, folder);
      await shop.add('order', {}, join(folder, 'dist/apps/order/src/main.js'));
      await shop.settled(await sendOrder(shop, person, {}, shop.order.length - 1));
    },
  };
}

/** Somebody writes it into a database. */
function sql(
  name: string,
  place: string,
  where: Service | 'backup',
  statementsOf: (literals: Literals) => readonly string[],
): Leak {
  return {
    name,
    place,
    async plant({ shop: { databases } }, { recipient }) {
      const database = where === 'backup' ? backupOf(nameOf(databases.order)) : nameOf(databases[where]);
      const literals = { name: escapeLiteral(recipient.name), json: escapeLiteral(JSON.stringify(recipient)) };
      await inDatabase(databases, database, async (client) => {
        for (const statement of statementsOf(literals)) await client.query(statement);
      });
    },
  };
}

/** Takes all keys from yesterday's backup, as they were. */
async function bringKeysBack({ shop: { databases } }: Searched): Promise<void> {
  const keys = nameOf(databases.customer_keys);
  const { rows } = await inDatabase(databases, backupOf(keys), (client) =>
    client.query<{ kid: string; secret: Buffer }>('SELECT kid, secret FROM customer_keys WHERE secret IS NOT NULL'),
  );
  await inDatabase(databases, keys, async (client) => {
    for (const { kid, secret } of rows) {
      await client.query('UPDATE customer_keys SET secret = $2, erased_at = NULL WHERE kid = $1', [kid, secret]);
    }
  });
}
