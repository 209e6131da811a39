/**
 * Prisma's own command line for the schema of each service: `node scripts/prisma.mjs generate`.
 *
 * The CLI needs a schema engine on disk even for commands that never run it, and downloads one otherwise. Naming any
 * executable in its place keeps `generate` working behind a firewall. The engine's own commands (`migrate diff`) need
 * a real one: set PRISMA_SCHEMA_ENGINE_BINARY.
 */
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';

const cli = createRequire(import.meta.url).resolve('prisma/build/index.js');
const env = {
  PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
  PRISMA_HIDE_UPDATE_MESSAGE: '1',
  CHECKPOINT_DISABLE: '1',
  ...process.env,
};
for (const service of readdirSync('prisma')) {
  const args = [cli, ...process.argv.slice(2), '--schema', `prisma/${service}/schema.prisma`];
  const running = promisify(execFile)(process.execPath, args, { env });
  // A signal to this process alone ends the other too; it then fails.
  const passOn = (signal) => running.child.kill(signal);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, passOn);
  try {
    await running;
  } catch (error) {
    console.error(`${error.stdout}${error.stderr}`.trim() || error.message);
    process.exit(1);
  }
}
