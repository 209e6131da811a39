/** What the console's page of worlds runs is the simulation: the same worlds, and planted that they find. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeAll, expect, test } from 'vitest';
import type { Threads, World, WorldWanted } from '../../apps/console/src/worlds/messages.js';
import { refuseOldBuild } from '#test/shop';
import { rules } from '../simulation/rules.js';
import { runWorld } from '../simulation/world.js';
import { planted } from './planted.js';

const FOLDER = 'dist/apps/console';

let threads: Threads;
beforeAll(() => {
  refuseOldBuild();
  threads = JSON.parse(readFileSync(join(FOLDER, 'worlds.json'), 'utf8')) as Threads;
});

const fileOf = (mutant?: string) => threads.find((thread) => thread.mutant === mutant)!.file;

let thread: Worker | undefined;
afterEach(() => thread?.terminate());

/** Runs a world in a thread that has of Node no more than a browser has. */
async function run(file: string, wanted: WorldWanted): Promise<World> {
  const prelude = `
    const { parentPort } = require('node:worker_threads');
    for (const name of ['Buffer', 'setImmediate', 'process', 'require']) delete globalThis[name];
    globalThis.addEventListener = (type, heard) => parentPort.on(type, (data) => heard({ data }));
    globalThis.postMessage = (told) => parentPort.postMessage(told);
    globalThis.reportError = (error) => queueMicrotask(() => { throw error; });
    import(${JSON.stringify(pathToFileURL(resolve(FOLDER, file)).href)});`;
  const worker = new Worker(prelude, { eval: true, execArgv: ['--no-warnings'] });
  thread = worker;
  return new Promise((resolve, reject) => {
    worker.once('error', reject).once('message', resolve);
    worker.postMessage(wanted, []); // It waits until somebody listens.
  });
}

const brokenIn = ({ rules }: World) => rules.filter(({ broken }) => broken.length > 0).map(({ name }) => name);

test('a world is the same in a browser as here, and keeps every rule', async () => {
  const seed = 1;
  const [there, here] = [await run(fileOf(), { seed }), await runWorld(seed)];
  expect(there).toMatchObject({ seed, trace: here.trace, steps: here.steps, endings: here.coverage.endings });
  expect(there.rules.map(({ name }) => name)).toEqual(Object.keys(rules));
  expect(brokenIn(there)).toEqual([]);
  expect(there.stories).toEqual(await here.stories());
});

test('of a world with items left out, those are left out in a browser, too', async () => {
  const only = [3, 5, 8];
  const there = await run(fileOf(), { seed: 3, only });
  expect(there.trace).toBe((await runWorld(3, { only })).trace);
  expect(new Set(there.plan.map(({ n }) => n))).toEqual(new Set(only));
});

test('there is a thread for each mutant, and one without', () => {
  expect(threads.map(({ mutant, name, seed }) => ({ key: mutant, name, seed }))).toEqual([
    { key: undefined, name: 'The services as they are', seed: 1 },
    ...planted.map(({ key, name, seed }) => ({ key, name, seed })),
  ]);
});

const BREAKS: Readonly<Record<string, string>> = {
  stranger: 'stranger-let-in',
  'both-win': 'order-ends-twice',
  'offset-first': 'message-passed-over',
  'checkpoint-first': 'message-missing',
  'no-wake-up': 'slow-alone',
  'key-stays': 'erased-key-stays',
  'second-capture': 'double-capture',
  'deadline-in-memory': 'deadline-missed',
};

test.each(planted)('$key: its world breaks the rule that it is about', async ({ key, name, seed }) => {
  const remedy = `Take a seed of npm run simulate:mutants -- --only "${name}" for planted.ts.`;
  expect(brokenIn(await run(fileOf(key), { seed })), remedy).toContain(BREAKS[key]);
});
