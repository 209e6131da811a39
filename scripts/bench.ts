/**
 * `npm run bench` measures Larder and its peers side by side (bench/). The peers are a package of their own, so that they
 * do not become dependencies of the shop: it is installed by the first run, and again when its lock file has changed.
 */
import { existsSync, statSync } from 'node:fs';
import { Advice } from './lib/advice.js';
import { runProgram } from './lib/programs.js';

export const usage = 'npm run bench -- [--only P3,P4] [--quick] [--rounds <number; default: 5>] [--report].';

export async function main(args: readonly string[]): Promise<void> {
  const installed = 'bench/node_modules/.package-lock.json';
  if (!existsSync(installed) || statSync(installed).mtimeMs < statSync('bench/package-lock.json').mtimeMs) {
    const code = await runProgram('npm', ['ci', '--no-audit', '--no-fund'], {
      cwd: 'bench',
      stdio: 'inherit',
      shell: process.platform === 'win32', // There npm is a batch file.
    });
    if (code > 128) process.exit(code);
    if (code !== 0)
      throw new Advice(
        'The packages that the bench compares with could not be installed: see the output of npm above.',
      );
  }
  // `source`: measures the libraries in libs/ as they are, without a build.
  const node = ['--conditions=source', '--import', 'tsx', 'src/main.ts', ...args];
  // The bench cleans up when it is interrupted, and takes the end of the channel to us for that too.
  process.exitCode = await runProgram(process.execPath, node, {
    cwd: 'bench',
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
}
