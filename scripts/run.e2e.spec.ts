/** Whoever stops a command by its launcher alone, npm or another program, stops all that it has started. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { services } from '../apps/shop.js';
import { portVariable } from './lib/addresses.js';
import { freePort } from './lib/embedded-postgres.js';

/** Starts a program in a process group of its own; `marked` finds whatever has come of it, in whichever group. */
function launch(program: string, args: string[], env: NodeJS.ProcessEnv = {}) {
  const mark = `LARDER_SPEC=${process.pid}-${performance.now()}`;
  const [name, value] = mark.split('=') as [string, string];
  const child = spawn(program, args, { detached: true, env: { ...process.env, ...env, [name]: value } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
  const marked = () => {
    const { stdout } = spawnSync('ps', ['axeww', '-o', 'pid=,command='], { encoding: 'utf8', maxBuffer: 2 ** 26 });
    return stdout
      .split('\n')
      .flatMap((line) => (line.includes(mark) && !line.includes('ps axeww') ? line.slice(0, 80) : []));
  };
  const killAll = () => {
    for (const line of marked()) spawnSync('kill', ['-9', line.trim().split(' ')[0]!]);
  };
  return { child, output: () => output, marked, killAll };
}

const patient = { timeout: 120_000, interval: 250 };

test('a command ends with npm, however that ends', async () => {
  // A world that nobody is patient enough for.
  const command = launch('npm', ['run', 'simulate', '--', '--seeds', '1000000', '--workers=1']);
  try {
    await expect.poll(command.output, patient).toContain(' worlds, ');
    command.child.kill('SIGKILL');
    await expect.poll(command.marked, patient).toEqual([]);
  } finally {
    command.killAll();
  }
}, 300_000);

/** Variables for a shop beside others: a folder, which the test deletes, and ports of its own. */
async function elsewhere(): Promise<Record<string, string> & { readonly LARDER_DATA: string }> {
  const data = mkdtempSync(join(tmpdir(), 'larder-launched-'));
  chmodSync(data, 0o755); // Postgres has a user of its own where we are root.
  const ports = await Promise.all(
    [...services, 'gateway' as const, 'identity' as const, 'postgres' as const].map(async (it) => [
      portVariable(it),
      `${await freePort()}`,
    ]),
  );
  return { LARDER_DATA: data, AUTH_ISSUER: '', ...Object.fromEntries(ports) };
}

test('a signal to npm alone closes the shop: the services, and Postgres last', async () => {
  const env = await elsewhere();
  const data = env.LARDER_DATA;
  const shop = launch('npm', ['start'], env);
  try {
    await expect.poll(shop.output, patient).toContain('Larder is open.');
    expect(readdirSync(join(data, 'as')).sort()).toEqual(['clerk', 'customer', 'metrics', 'operator', 'other']);
    expect(shop.marked().length).toBeGreaterThan(6); // npm, run.mjs, three services, and Postgres with its own.
    shop.child.kill('SIGINT');
    await expect.poll(shop.marked, patient).toEqual([]);
    await expect.poll(shop.output, patient).toContain('Closed. Its data is kept');
    expect(readFileSync(join(data, 'logs/postgres.log'), 'utf8')).toContain('database system is shut down');
    expect(existsSync(join(data, 'as'))).toBe(false);
  } finally {
    shop.killAll();
    rmSync(data, { recursive: true, force: true });
  }
}, 300_000);

test("an OpenID provider of one's own takes the place of the one for development", async () => {
  const env = await elsewhere();
  const taken = createServer().listen(Number(env[portVariable('identity')]), '127.0.0.1');
  const ownIssuer = `http://127.0.0.1:${await freePort()}`;
  const refused = launch('npm', ['start'], env);
  let shop: ReturnType<typeof launch> | undefined;
  try {
    await expect.poll(refused.output, patient).toMatch(/Port \d+ is in use .* set IDENTITY_PORT to another port\./);
    shop = launch('npm', ['start'], { ...env, AUTH_ISSUER: ownIssuer });
    await expect.poll(shop.output, patient).toContain('Larder is open.');
    expect(shop.output()).toContain(`${join(env.LARDER_DATA, 'as/clerk')} has no token of the clerk.`);
    expect(shop.output()).toMatch(/groceries +left as they are/);
    expect(existsSync(join(env.LARDER_DATA, 'identity'))).toBe(false);
    shop.child.kill('SIGINT');
    await expect.poll(shop.marked, patient).toEqual([]);
  } finally {
    taken.close();
    refused.killAll();
    shop?.killAll();
    rmSync(env.LARDER_DATA, { recursive: true, force: true });
  }
}, 300_000);

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
  '%s to a command ends the program that it runs',
  async (signal) => {
    const program = `console.log('runs'); setInterval(() => {}, 1e6)`;
    const command = `import { runProgram } from './dist/scripts/lib/programs.js';
    process.exitCode = await runProgram(process.execPath, ['-e', ${JSON.stringify(program)}], { stdio: 'inherit' })`;
    const { child, output, marked, killAll } = launch(process.execPath, ['--input-type=module', '-e', command]);
    const ended = once(child, 'exit');
    try {
      await expect.poll(output, patient).toBe('runs\n');
      child.kill(signal);
      expect((await ended)[0]).toBeGreaterThan(128);
      await expect.poll(marked, patient).toEqual([]);
    } finally {
      killAll();
    }
  },
  120_000,
);

describe('the command line', { timeout: 120_000 }, () => {
  const run = (command: string, args: string[], env: NodeJS.ProcessEnv = {}) =>
    spawnSync(process.execPath, ['scripts/run.mjs', command, ...args], {
      env: { ...process.env, ...env },
      encoding: 'utf8',
    });

  test('every command has a usage, which begins as one types it', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
    const commands = Object.entries(scripts).flatMap(([script, line]) => {
      const [, command] = / scripts\/run\.mjs (.+)$/.exec(line) ?? [];
      return command ? { command, typed: script === 'start' ? 'npm start' : `npm run ${script}` } : [];
    });
    expect(commands.length).toBeGreaterThan(15);
    const modules = commands.map(({ command }) => {
      const folder = ['proof', 'labs'].find((each) => existsSync(`${each}/${command}.ts`)) ?? 'scripts';
      return `(await import('./dist/${folder}/${command}.js')).usage`;
    });
    const program = `console.log(JSON.stringify([${modules.join()}])); process.exit()`;
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
    const usages = JSON.parse(stdout) as string[];
    expect(commands.filter(({ typed }, i) => !new RegExp(`^${typed}\\b.*\\.$`).test(usages[i] ?? ''))).toEqual([]);
  });

  test('--help prints it, and nothing else happens; so it is with an argument that a command does not take', () => {
    const data = mkdtempSync(join(tmpdir(), 'larder-kept-'));
    const note = join(data, 'event-store.env');
    writeFileSync(note, 'EVENT_STORE_URL=kurrentdb://elsewhere:2113\n');
    const usage = /^Usage: npm run reset\. .*\n$/;
    expect(run('reset', ['--help'], { LARDER_DATA: data })).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(usage),
      stderr: '',
    });
    expect(run('reset', ['--dry-run'], { LARDER_DATA: data })).toMatchObject({
      status: 2,
      stdout: '',
      stderr: expect.stringMatching(/^Unexpected argument '--dry-run'\. Usage: npm run reset\. .*\n$/),
    });
    expect(existsSync(note)).toBe(true);
    expect(run('reset', [], { LARDER_DATA: data })).toMatchObject({ status: 0 });
    expect(existsSync(note)).toBe(false);
    rmSync(data, { recursive: true, force: true });
  });
});
