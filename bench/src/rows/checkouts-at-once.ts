/** P13: what many checkouts at once cost the server, each. */
import { openCountedShop, statementShares } from '../counts.js';
import type { Row } from '../row.js';
import { longAtFirst } from '../shop.js';

const FEW = 16;
const MANY = 64;

export const row: Row = {
  id: 'P13',
  name: 'What a checkout among others costs the server',
  how: `As in P12, with ${FEW} checkouts in flight and with ${MANY}: the transactions of all services, from the first \`POST\` until everything has caught up with the last, divided by the checkouts. What goes on at the same moment shares transactions, so the more of it there is, the fewer each needs. The server logs every statement meanwhile, which slows it: the numbers of checkouts here are not those of P9.`,
  goals: [
    {
      name: `transactions per checkout, ${FEW} in flight`,
      unit: 'pieces',
      atMost: 9,
      value: ({ larder }) => larder!['transactions']!,
    },
    {
      name: `transactions per checkout, ${MANY} in flight`,
      unit: 'pieces',
      atMost: 4,
      value: ({ larderMany }) => larderMany!['transactions']!,
    },
  ],
  async open(bench) {
    const ms = bench.quick ? 2_000 : 4_000;
    const firstMs = longAtFirst(bench.quick ? 2_000 : 10_000, ms);
    const shop = await openCountedShop(bench);
    const larder = async (inFlight: number) => {
      const { checkouts, transactions } = await shop.atOnce(inFlight, firstMs());
      return { checkouts, transactions };
    };
    return {
      contenders: { larder: () => larder(FEW), larderMany: () => larder(MANY) },
      profile: async () => ({ 'its statements': statementShares((await shop.atOnce(FEW, ms)).statements) }),
      close: shop.close,
    };
  },
};
