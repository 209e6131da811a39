import type pg from 'pg';
import { ServerRefusal } from '../servers.js';

/** SQL_ASCII keeps bytes as they are, whatever they mean. */
const FOR_EVERY_TEXT = ['UTF8', 'SQL_ASCII'];

/**
 * To be asked before the first table is made in a database: its encoding cannot be changed later.
 * @throws ServerRefusal when it cannot hold every text
 */
export async function assertHoldsEveryText(database: Pick<pg.Client, 'query'>): Promise<void> {
  const { rows } = await database.query<{ server_encoding: string }>('SHOW server_encoding');
  const encoding = rows[0]!.server_encoding;
  if (FOR_EVERY_TEXT.includes(encoding)) return;
  throw new ServerRefusal(
    `The database has the encoding ${encoding}, which lacks most characters. Create it with ENCODING 'UTF8'.`,
  );
}
