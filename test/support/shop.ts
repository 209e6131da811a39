/** A whole shop for a spec, on databases of its own on the test run's Postgres. What it can do stands in proof/shop/open-shop.ts. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { inject } from 'vitest';
import { freshDatabases, openShop as open, type Shop, type ShopOptions } from '../../proof/shop/open-shop.js';

export type { OrderView, Shop } from '../../proof/shop/open-shop.js';

/**
 * Opens a shop with empty shelves. `postgresUrl` is a server of the spec's own, and so is `busUrl`, instead of a
 * database.
 * @throws Advice when the build is not up to date, or a service does not get ready
 */
export async function openShop({
  postgresUrl = inject('postgresUrl'),
  busUrl,
  ...options
}: Omit<ShopOptions, 'databases' | 'onOpening'> & { postgresUrl?: string; busUrl?: string } = {}): Promise<Shop> {
  refuseOldBuild();
  return open({ ...options, databases: await freshDatabases(postgresUrl, busUrl) });
}

/**
 * A command of package.json in a process of its own, as it was compiled. scripts/run.mjs would compare the build with the
 * sources first, which takes longer than many a command: a spec that runs some of them does that once (refuseOldBuild).
 */
export function spawnCommand(name: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const folder = existsSync(`proof/${name}.ts`) ? 'proof' : 'scripts';
  const program = `import('./dist/${folder}/${name}.js').then(({ main }) => main(process.argv.slice(1)))`;
  return spawn(process.execPath, ['-e', program, '--', ...args], { env: { ...process.env, ...env } });
}

/** The services run as they were compiled, so a spec that runs on an old build would prove nothing. */
export function refuseOldBuild(): void {
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const { stdout } = spawnSync(process.execPath, [tsc, '-b', 'tsconfig.build.json', '--dry'], { encoding: 'utf8' });
  if (!/is up to date|update timestamps/.test(stdout))
    throw new Error('The build is out of date: run `npm run build`.');
}
