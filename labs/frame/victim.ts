/** A process that places one order, and kills itself at the step that it is told. */
import { labs } from '../catalogue.js';
import type { Doom } from './kills.js';
import { Watch } from './watch.js';

process.once('message', async ({ lab, way, databases, wanted, step, moment }: Doom) => {
  const watch: Watch = new Watch(async (when, { name }) => {
    if (when !== moment || name !== step) return;
    process.send!(watch.tell(), () => process.kill(process.pid, 'SIGKILL'));
    await new Promise(() => {}); // Nothing continues until the signal takes effect.
  });
  const ways = labs.find(({ name }) => name === lab)!.ways;
  await ways
    .find(({ name }) => name === way)!
    .open(databases, watch)
    .place(wanted);
  process.exit();
});
