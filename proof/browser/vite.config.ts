/**
 * The simulation for a browser: a thread of the services as they are, and one for each of a few planted, from the same sources.
 * They share what is not Larder's.
 *
 *   worker.ts             ──▶ world-….js        ─┐
 *   worker.ts?mutant=no-tomb ──▶ world-….js         ├─▶ shared-….js: zod, the ciphers, …
 *   …                                           ─┘
 *   worlds.json: what they are called
 */
import { readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { defineConfig, type Plugin } from 'vite';
import type { Threads } from '../../apps/console/src/worlds/messages.js';
import { edited } from '../edited-build.js';
import { planted } from './planted.js';

const ROOT = resolve(import.meta.dirname, '../..');
const WORKER = join(import.meta.dirname, 'worker.ts');

export default defineConfig({
  base: '/console/',
  resolve: { conditions: ['source', 'browser'] },
  plugins: [plantMutants(), leaveNodeOut(), listThreads()],
  build: {
    // Into the console, which is built before.
    outDir: '../../dist/apps/console',
    emptyOutDir: false,
    // What is bundled passes on its licences with it.
    license: { fileName: 'worlds-licenses.md' },
    rolldownOptions: {
      checks: { pluginTimings: false }, // Every import of every thread passes by plantMutants.
      input: [WORKER, ...planted.map(({ key }) => `${WORKER}?mutant=${key}`)],
      output: {
        entryFileNames: 'assets/world-[hash].js',
        chunkFileNames: 'assets/world-shared-[hash].js',
        codeSplitting: { groups: [{ name: 'shared', test: /node_modules/ }] },
      },
    },
  },
});

/** Whatever a thread with a mutant imports is its own, and read with the mutant in it. */
function plantMutants(): Plugin {
  const keyOf = (id: string | undefined) => /\?mutant=([\w-]+)$/.exec(id ?? '')?.[1];
  return {
    name: 'plant-planted',
    enforce: 'pre',
    async resolveId(source, importer) {
      const key = keyOf(importer);
      if (key === undefined) return undefined;
      const found = await this.resolve(source, importer, { skipSelf: true });
      return found && !found.external && found.id.startsWith(ROOT) && !found.id.includes('/node_modules/')
        ? `${found.id}?mutant=${key}`
        : found;
    },
    load(id) {
      const key = keyOf(id);
      if (key === undefined) return undefined;
      const path = id.slice(0, id.indexOf('?'));
      const mutant = planted.find((each) => each.key === key)!;
      return edited(mutant, relative(ROOT, path), readFileSync(path, 'utf8'));
    },
  };
}

/** What is imported from Node and not used in a world, by name, so that what is used is missed. */
const UNUSED: Readonly<Record<string, readonly string[]>> = {
  fs: ['readFileSync'],
  http: ['default'],
  https: ['default'],
  net: ['isIP', 'isIPv4'],
  'timers/promises': ['setImmediate'],
};

/** Node's modules are those of the folder node/, and nobody serves a world over HTTP. */
function leaveNodeOut(): Plugin {
  return {
    name: 'leave-node-out',
    enforce: 'pre',
    resolveId(source) {
      if (/\/http\/\w+\.module\.js$/.test(source)) return '\0unused:nest';
      if (!source.startsWith('node:')) return undefined;
      const name = source.slice('node:'.length);
      return name in UNUSED ? `\0unused:${name}` : join(import.meta.dirname, 'node', `${name}.ts`);
    },
    load(id) {
      if (!id.startsWith('\0unused:')) return undefined;
      const names = UNUSED[id.slice('\0unused:'.length)] ?? ['default'];
      return names.map((name) => `const ${name}_ = undefined; export { ${name}_ as ${name} };`).join('\n');
    },
  };
}

function listThreads(): Plugin {
  return {
    name: 'list-threads',
    generateBundle(_, bundle) {
      const fileOf = (id: string) =>
        Object.values(bundle).find((chunk) => chunk.type === 'chunk' && chunk.facadeModuleId === id)!.fileName;
      const threads: Threads = [
        { name: 'The services as they are', seed: 1, file: fileOf(WORKER) },
        ...planted.map(({ key, name, seed }) => ({ mutant: key, name, seed, file: fileOf(`${WORKER}?mutant=${key}`) })),
      ];
      this.emitFile({ type: 'asset', fileName: 'worlds.json', source: JSON.stringify(threads) });
    },
  };
}
