/**
 * The entry point of every command of package.json: `node scripts/run.mjs start` brings the build up to date and runs
 * dist/scripts/start.js, and `node scripts/run.mjs crash` runs dist/proof/crash.js. This file is plain JavaScript without
 * dependencies, because it runs before anything is installed or built, and reports what is missing. In a container image,
 * which has a build but no compiler, it runs the build as it is.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const [command, ...args] = process.argv.slice(2);
checkNode(JSON.parse(readFileSync('package.json', 'utf8')).engines.node);
if (existsSync('node_modules/typescript')) build();
else if (process.env.NODE_ENV !== 'production' || !existsSync('dist'))
  giveUp('The dependencies are not installed. Run `npm ci` first.');

// Looks for the source: dist may still contain files of an older build.
const folder = existsSync(`proof/${command}.ts`) ? 'proof' : 'scripts';
const { main } = await import(`../dist/${folder}/${command}.js`);
await main(args).catch((error) => giveUp(describeError(error)));

/** `required` is `>=` and a version. */
function checkNode(required) {
  const [have, need] = [process.versions.node, required.replace('>=', '')].map((version) =>
    version.split('.').map(Number),
  );
  const difference = need.map((part, i) => have[i] - part).find((d) => d !== 0) ?? 0;
  if (difference < 0)
    giveUp(`Larder needs Node ${required}; this is ${process.versions.node}. Install it from https://nodejs.org.`);
}

function build() {
  for (const service of readdirSync('prisma')) {
    const schema = `prisma/${service}/schema.prisma`;
    const client = `prisma/${service}/client/client.ts`;
    if (!existsSync(client) || statSync(client).mtimeMs < statSync(schema).mtimeMs) {
      runNode(['scripts/prisma.mjs', 'generate'], 'The Prisma clients could not be generated: see the output above.');
      break;
    }
  }
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  runNode([tsc, '-b', 'tsconfig.build.json'], 'Larder does not compile: see the errors above.');
}

function runNode(command, failure) {
  if (spawnSync(process.execPath, command, { stdio: 'inherit' }).status !== 0) giveUp(failure);
}

function describeError(error) {
  if (error.name === 'Advice') return error.message;
  if (['EACCES', 'EPERM', 'EROFS', 'ENOSPC'].includes(error.code))
    return `${error.message}. Free the disk or fix the permissions, or set LARDER_DATA to another folder for the shop's data.`;
  return error.stack;
}

function giveUp(message) {
  console.error(message);
  process.exit(1);
}
