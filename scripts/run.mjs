/**
 * The entry point of every command of package.json: `node scripts/run.mjs start` brings the build up to date and runs
 * dist/scripts/start.js, `… crash` runs dist/proof/crash.js, and `… lab` dist/labs/lab.js. This file is plain JavaScript without
 * dependencies, because it runs before anything is installed or built, and reports what is missing. In a container image,
 * which has a build but no compiler, it runs the build as it is.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const [command, ...args] = process.argv.slice(2);
endWithNpm();
checkNode(JSON.parse(readFileSync('package.json', 'utf8')).engines.node);
if (existsSync('node_modules/typescript')) await build();
else if (process.env.NODE_ENV !== 'production' || !existsSync('dist'))
  giveUp('The dependencies are not installed. Run `npm ci` first.');

// Looks for the source: dist may still contain files of an older build.
const folder = ['proof', 'labs'].find((each) => existsSync(`${each}/${command}.ts`)) ?? 'scripts';
const { main, usage } = await import(`../dist/${folder}/${command}.js`);
if (args.includes('--help') || args.includes('-h')) {
  console.log(`Usage: ${usage}`);
  process.exit();
}
if (main.length === 0 && args.length > 0) {
  console.error(`Unexpected argument '${args[0]}'. Usage: ${usage}`);
  process.exit(2);
}
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

/**
 * npm forwards SIGINT and SIGTERM to its shell, and the scripts of package.json say `exec` so that this process takes the
 * shell's place: dash, the shell of Debian and Ubuntu, would keep SIGINT to itself. (Windows has an exec.cmd, and no such
 * signals.) Any other end of npm is noticed here.
 */
function endWithNpm() {
  if (!process.env.npm_lifecycle_event) return;
  const npm = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === npm) return;
    clearInterval(watch);
    process.kill(process.pid, 'SIGTERM');
  }, 500).unref();
}

async function build() {
  for (const service of readdirSync('prisma')) {
    const schema = `prisma/${service}/schema.prisma`;
    const client = `prisma/${service}/client/client.ts`;
    if (!existsSync(client) || statSync(client).mtimeMs < statSync(schema).mtimeMs) {
      await runNode(
        ['scripts/prisma.mjs', 'generate'],
        'The Prisma clients could not be generated: see the output above.',
      );
      break;
    }
  }
  const require = createRequire(import.meta.url);
  const tsc = require.resolve('typescript/bin/tsc');
  await runNode([tsc, '-b', 'tsconfig.build.json'], 'Larder does not compile: see the errors above.');
  const vite = join(dirname(require.resolve('vite/package.json')), 'bin/vite.js');
  // The worlds of the console are built of everything, into the folder that the console empties when it is built.
  const pages = [
    ['apps/console', 'index.html', ['apps/console', 'libs/client/src']],
    ['proof/browser', 'worlds.json', ['apps', 'libs', 'proof', 'scripts/lib/reconcile']],
  ];
  for (const [folder, built, sources] of pages) {
    if (!isOld(`dist/apps/console/${built}`, sources)) continue;
    await runNode([vite, 'build', folder, '--logLevel', 'warn'], 'The console cannot be built: see the errors above.');
  }
}

/** Whether a source is newer than what was made of it. */
function isOld(built, sources) {
  if (!existsSync(built)) return true;
  const files = sources.flatMap((folder) => readdirSync(folder, { recursive: true }).map((file) => join(folder, file)));
  const isNewer = (file) => statSync(file).mtimeMs > statSync(built).mtimeMs;
  return [...files, 'package-lock.json'].some((file) => !file.endsWith('.spec.ts') && isNewer(file));
}

/** A signal to this process alone ends the program too; scripts/lib/programs.ts has the same for what is compiled. */
async function runNode(command, failure) {
  const program = spawn(process.execPath, command, { stdio: 'inherit' });
  let interrupted;
  const passOn = (signal) => program.kill((interrupted = signal));
  for (const signal of SIGNALS) process.on(signal, passOn);
  const [code] = await once(program, 'exit');
  for (const signal of SIGNALS) process.off(signal, passOn);
  if (interrupted) process.kill(process.pid, interrupted);
  else if (code !== 0) giveUp(failure);
}

function describeError(error) {
  if (['Advice', 'StartError'].includes(error.name)) return error.message;
  if (['EACCES', 'EPERM', 'EROFS', 'ENOSPC'].includes(error.code))
    return `${error.message}. Free the disk or fix the permissions, or set LARDER_DATA to another folder for the shop's data.`;
  return error.stack;
}

function giveUp(message) {
  console.error(message);
  process.exit(1);
}
