/** P12: what a checkout alone costs the server, as counts. */
import { openCountedShop, type Statement, statementShares } from '../counts.js';
import type { Row } from '../row.js';

export const row: Row = {
  id: 'P12',
  name: 'What a checkout alone costs the server',
  how: 'The three services as they are run, warm, and everything in one Postgres: events, messages and read models. One order of one line after the other, from `POST` until it is completed and every relay and read model has caught up with it; the next one begins only then. Statements and transactions are those of the services in the log of the server, where a statement outside of a transaction is one by itself; the order with the median number of statements counts. Flushes are those of the log of the database that a connection of a client waited for (`pg_stat_io`), an average. Looks that happen once a second, whether there is an order or not, count too.',
  goals: [
    { name: 'statements', unit: 'pieces', atMost: 45, value: ({ larder }) => larder!['statements']! },
    { name: 'transactions', unit: 'pieces', atMost: 40, value: ({ larder }) => larder!['transactions']! },
    {
      name: 'flushes of the log that somebody waited for',
      unit: 'pieces',
      atMost: 13,
      value: ({ larder }) => larder!['flushes']!,
    },
  ],
  async open(bench) {
    const shop = await openCountedShop(bench);
    let last: readonly Statement[] = [];
    return {
      contenders: {
        async larder() {
          const { typical, ...counts } = await shop.alone(bench.quick ? 3 : 11);
          last = typical;
          return counts;
        },
      },
      profile: async () => ({ 'its statements': statementShares(last) }),
      close: shop.close,
    };
  },
};
