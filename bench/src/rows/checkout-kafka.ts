/** P16: the shop with its messages on Kafka, beside the one with all of it in Postgres. */
import { createTopics } from '../../../scripts/topics.js';
import { besides, FEW, goalsBeside, HOW_BESIDE } from '../beside.js';
import { openBenchKafka } from '../kafka.js';
import type { Row } from '../row.js';
import { FINAL, openBenchShop } from '../shop.js';

export const row: Row = {
  id: 'P16',
  name: 'Checkout with the messages on Kafka, of that on Postgres',
  how: `The three services as they are run, a process each, and the same orders of one line, from \`POST\` to the final answer. **Postgres**: events, read models and messages in one server. **Kafka**: the messages on a broker of the run's own, in twelve partitions a topic as \`npm run topics\` creates them, which has to share the two cores with the rest; its virtual machine compiles quickly rather than well, as for tests. ${HOW_BESIDE}`,
  goals: goalsBeside(['kafka', 'postgres'], { few: 0.8, many: 1, lone: 1.3 }),
  async open(bench) {
    const broker = await openBenchKafka(bench);
    await createTopics(broker.url);
    const kafka = await openBenchShop(bench, { busUrl: broker.url });
    const postgres = await openBenchShop(bench);
    return {
      contenders: besides(bench, { kafka, postgres }),
      profile: () => kafka.profiled(() => kafka.placeOrders(FEW, bench.quick ? 1_000 : 3_000, FINAL)),
      async close() {
        await kafka.close();
        await postgres.close();
        await broker.stop();
      },
    };
  },
};
