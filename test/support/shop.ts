/** A whole shop for a spec, on databases of its own on the test run's Postgres. What it can do stands in proof/shop/open-shop.ts. */
import { spawnSync } from 'node:child_process';
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

/** The services run as they were compiled, so a spec that runs on an old build would prove nothing. */
export function refuseOldBuild(): void {
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const { stdout } = spawnSync(process.execPath, [tsc, '-b', 'tsconfig.build.json', '--dry'], { encoding: 'utf8' });
  if (!/is up to date|update timestamps/.test(stdout))
    throw new Error('The build is out of date: run `npm run build`.');
}
