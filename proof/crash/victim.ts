/**
 * A service that can be told where to die: `node victim.js order`. It is the ordinary service, with something between it
 * and its ports that waits for a message over the IPC channel (`Doom`), and then kills the process at that step.
 */
import { type Service, shop } from '../../apps/shop.js';
import { bootService } from '#nest';
import { ServerUnavailable } from '#runtime';
import { type Step, stepped } from '../interruptible.js';
import type { Doom } from './durable-steps.js';

let doom: Doom | undefined;
/** How often the step was reached since then, and how many appends there were. */
let reached = 0;
let appends = 0;
process.on('message', (message: Doom) => {
  doom = message;
  reached = 0;
  appends = 0;
});

async function onStep({ point, about }: Step, moment: 'before' | 'after'): Promise<void> {
  if (doom === undefined) return;
  if (point === doom.point && moment === doom.moment && (doom.about === undefined || about.includes(doom.about))) {
    if (++reached === doom.nth) {
      process.kill(process.pid, 'SIGKILL');
      await new Promise(() => {}); // Nothing continues until the signal takes effect.
    }
  }
  if (doom.failEvery && point === 'store.append' && moment === 'before' && ++appends % doom.failEvery === 0) {
    throw new ServerUnavailable('The crash matrix keeps this append from the store.');
  }
}

const service = shop[process.argv[2] as Service];
const { default: module } = await service.module();
await bootService(service, module, { wrapPorts: (ports) => stepped(ports, onStep) });
