/** P17: the shop with its events in KurrentDB, beside the one with all of it in Postgres. */
import { besides, FEW, goalsBeside, HOW_BESIDE } from '../beside.js';
import type { Row } from '../row.js';
import { FINAL, openBenchShop, openKurrentDb } from '../shop.js';

export const row: Row = {
  id: 'P17',
  name: 'Checkout with the events in KurrentDB, of that in Postgres',
  how: `The three services as they are run, a process each, and the same orders of one line, from \`POST\` to the final answer. **Postgres**: events, read models and messages in one server. **KurrentDB**: the events in a stand-in for it, to which the services speak with its real client, over gRPC; read models and messages in Postgres. The stand-in is a process of its own, keeps events in memory, and waits before it answers, as long as a KurrentDB 26.1.0 was seen to take on a machine with two cores: 4 ms for an append of one event; 6, 10, 15, 25 and 38 ms for one to 1, 3, 10, 30 and 64 streams; 43 ms for a read that goes alone over the connection of the client's native part, and 3 ms in company; 1 ms until an event is seen live. Appends that come together do not wait for each other here; how far they do in a real server was not measured. ${HOW_BESIDE}`,
  goals: goalsBeside(['kurrentdb', 'postgres'], { few: 0.8, many: 0.8, lone: 1.5 }),
  async open(bench) {
    const server = await openKurrentDb();
    const kurrentdb = await openBenchShop(bench, { eventsUrl: server.url });
    const postgres = await openBenchShop(bench);
    return {
      contenders: besides(bench, { kurrentdb, postgres }),
      profile: () => kurrentdb.profiled(() => kurrentdb.placeOrders(FEW, bench.quick ? 1_000 : 3_000, FINAL)),
      async close() {
        await kurrentdb.close();
        await postgres.close();
        await server.close();
      },
    };
  },
};
