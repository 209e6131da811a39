/**
 * `npm run bench`: every row of the table, Larder and its peers on one Postgres.
 * `-- --only P3,P4` measures some rows, `-- --quick` less of everything, `-- --rounds 7` more rounds.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { freePort, startPostgres } from '../../scripts/embedded-postgres.js';
import { measure } from './measure.js';
import type { Bench, Row } from './row.js';

const { values } = parseArgs({
  options: { only: { type: 'string' }, quick: { type: 'boolean' }, rounds: { type: 'string' } },
});
const files = readdirSync(new URL('rows', import.meta.url));
const rows = (await Promise.all(files.map((file) => import(`./rows/${file}`)))).map(({ row }) => row as Row);
const wanted = values.only ? rows.filter(({ id }) => values.only!.split(',').includes(id)) : rows;
const folder = mkdtempSync(join(tmpdir(), 'larder-bench-'));
const server = await startPostgres({ folder: join(folder, 'postgres'), port: await freePort(), log: join(folder, 'log') });
let databases = 0;
const bench: Bench = {
  quick: values.quick ?? false,
  serverUrl: server.url('postgres'),
  async database() {
    const name = `bench${++databases}`;
    await server.createDatabase(name);
    return server.url(name);
  },
  note: (text) => console.error(text),
};
try {
  for (const row of wanted) {
    const { goals } = await measure(row, bench, Number(values.rounds ?? 5), async () => {});
    for (const { goal, value, rounds, met } of goals) console.log(row.id, goal.name, value, rounds, met);
  }
} finally {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
