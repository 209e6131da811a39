/**
 * `npm run bench` measures Larder and its peers side by side (bench/). The peers are a package of their own, so that they
 * do not become dependencies of the shop: it is installed by the first run, and again when its lock file has changed.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { Advice } from './lib/advice.js';

export async function main(args: readonly string[]): Promise<void> {
  const installed = 'bench/node_modules/.package-lock.json';
  if (!existsSync(installed) || statSync(installed).mtimeMs < statSync('bench/package-lock.json').mtimeMs) {
    const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: 'bench', stdio: 'inherit' });
    if (status !== 0)
      throw new Advice(
        'The packages that the bench compares with could not be installed: see the output of npm above.',
      );
  }
  // `source`: measures the libraries in libs/ as they are, without a build.
  const node = ['--conditions=source', '--import', 'tsx', 'src/main.ts', ...args];
  const bench = spawn(process.execPath, node, { cwd: 'bench', stdio: 'inherit' });
  // Ctrl-C reaches both processes; this one waits until the bench has cleaned up.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
  const [code] = (await once(bench, 'close')) as [number | null];
  process.exitCode = code ?? 1;
}
