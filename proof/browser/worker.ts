/** The thread of a browser that runs worlds, one after the other: the page of the console with their name asks it. */
// oxlint-disable-next-line import/no-unassigned-import -- What the others find in Node without importing it.
import './node/globals.js';
import type { World as Told, WorldWanted } from '../../apps/console/src/worlds/messages.js';
import { describe } from '../simulation/plan.js';
import { rules } from '../simulation/rules.js';
import { isTrouble } from '../simulation/stories.js';
import { inWords } from '../simulation/story.js';
import { runWorld, type World } from '../simulation/world.js';

/** Of what a thread of a browser has: the page, as far as it is heard and told. */
const page = globalThis as unknown as {
  addEventListener(type: 'message', heard: (event: { readonly data: WorldWanted }) => void): void;
  postMessage(told: Told, moved: readonly []): void;
  reportError(error: unknown): void;
};

page.addEventListener('message', ({ data: { seed, only } }) => {
  runWorld(seed, only && { only })
    .then(tell)
    .then((told) => page.postMessage(told, []))
    .catch((error: unknown) => page.reportError(error));
});

async function tell(world: World): Promise<Told> {
  const { seed, trace, steps, virtualMs, coverage, plan, struckMs, beganMs, violations } = world;
  const planned = plan.items.map((item) => {
    const ms = struckMs.get(item.n);
    const { n, atMs } = item;
    return { n, atMs, what: describe(item), isTrouble: isTrouble(item), ...(ms && { struckMs: ms - beganMs }) };
  });
  const judged = Object.entries(rules).map(([name, meaning]) => {
    const broken = violations.filter(({ rule }) => rule === name);
    return { name, meaning, broken: broken.map(({ text, orders }) => ({ text: inWords(text), orders })) };
  });
  return {
    seed,
    trace,
    steps,
    virtualMs,
    endings: coverage.endings,
    plan: planned.sort((a, b) => a.atMs - b.atMs),
    rules: judged,
    stories: await world.stories(),
  };
}
