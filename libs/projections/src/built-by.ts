/**
 * Which code built a projection's table: a digest that is stored with the table's checkpoint, so that a service notices
 * at its start when the two no longer belong together.
 *
 *   9f86d081884c7d65.b3a8e0e1f9ab1bfe
 *   the projection    the table's columns
 *
 * The code is the exact source of `key` and `apply`, without comments, which the build removes, and what the projection
 * declares. Functions that they call are not included: `version` stands for those. A change that affects no row, such as
 * renaming a variable, is noticed too; a rebuild then finds no difference, and the warning disappears.
 */
import { createHash } from 'node:crypto';
import type { AnyProjection } from './projection.js';

/** What has changed since a table was built: the projection's code, or the table's columns. */
export type Staleness = 'code' | 'columns';

/** The digest of a projection and of its table's columns, given in any form that contains their names and types. */
export function digestOf({ table, categories, keyColumns, version = 0, key, apply }: AnyProjection, columns: string) {
  const code = [table, categories, keyColumns, version, String(key), String(apply)];
  return `${digest(JSON.stringify(code))}.${digest(columns)}`;
}

/** What has changed between two digests; undefined when nothing has. */
export function stalenessOf(then: string, now: string): Staleness | undefined {
  if (then === now) return undefined;
  return then.split('.')[0] === now.split('.')[0] ? 'columns' : 'code';
}

const digest = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16);
