/** A server is shut down when the process that has started it has ended, however; and not by Ctrl-C in its terminal. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { killGuarded, shutDown, spawnGuarded, spawnGuardedByNode } from './guarded.js';

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'larder-guarded-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const patient = { timeout: 60_000 };

const log = () => readFileSync(join(folder, 'log'), 'utf8');

/** Notes how it is stopped, and ends by itself in a minute, if nothing else ends it. */
const SERVER = `
  process.on('SIGINT', () => { console.log('stopped'); process.exit(7); });
  setTimeout(() => {}, 60_000);
  console.log('runs');`;

/** Starts what `start` starts with the descriptor of the log. */
function withLog(start: (output: number) => ChildProcess): ChildProcess {
  const output = openSync(join(folder, 'log'), 'a');
  const child = start(output);
  closeSync(output);
  return child;
}

const exitOf = (child: ChildProcess) =>
  new Promise((ended) => child.on('exit', (code, signal) => ended(signal ?? code)));

describe('behind a shell', { timeout: 90_000 }, () => {
  const server = { program: process.execPath, args: ['-e', SERVER], signal: 'SIGINT' } as const;

  test('it is shut down, and its exit code is told', async () => {
    const guarded = withLog((output) => spawnGuarded(server, { cwd: folder, output }));
    const ended = exitOf(guarded);
    await expect.poll(log, patient).toBe('runs\n');
    shutDown(guarded);
    expect(await ended).toBe(7);
    expect(log()).toBe('runs\nstopped\n');
  });

  test('it is killed', async () => {
    const guarded = withLog((output) => spawnGuarded(server, { cwd: folder, output }));
    const ended = exitOf(guarded);
    await expect.poll(log, patient).toBe('runs\n');
    killGuarded(guarded);
    expect(await ended).toBe('SIGKILL');
    expect(log()).toBe('runs\n');
  });

  test('it outlives Ctrl-C in the terminal, and is shut down after kill -9 of the process that has started it', async () => {
    // Deaf to Ctrl-C itself, and alone in its process group but for what it has started there.
    const program = `
      import { openSync } from 'node:fs';
      import { spawnGuarded } from './dist/scripts/lib/guarded.js';
      process.on('SIGINT', () => console.log('deaf'));
      spawnGuarded(${JSON.stringify(server)}, { cwd: '.', output: openSync(process.argv[1], 'a') });
      setInterval(() => {}, 60_000);`;
    const args = ['--input-type=module', '-e', program, join(folder, 'log')];
    const starter = spawn(process.execPath, args, { detached: true });
    let said = '';
    starter.stdout.on('data', (text) => (said += text));
    await expect.poll(() => existsSync(join(folder, 'log')) && log(), patient).toBe('runs\n');
    process.kill(-starter.pid!, 'SIGINT');
    await expect.poll(() => said, patient).toBe('deaf\n');
    expect(log()).toBe('runs\n');
    starter.kill('SIGKILL');
    await expect.poll(log, patient).toBe('runs\nstopped\n');
  });
});

describe('behind a process of Node, as on Windows', { timeout: 90_000 }, () => {
  test('a server that a program starts in the background is stopped by a command', async () => {
    const pidFile = join(folder, 'server.pid');
    const start = `
      const { spawn } = require('node:child_process');
      const server = spawn(process.execPath, ['-e', ${JSON.stringify(SERVER)}], { detached: true, stdio: ['ignore', 1, 2] });
      require('node:fs').writeFileSync(${JSON.stringify(pidFile)}, server.pid + '\\nand more');
      server.unref();`;
    const stop = `process.kill(parseInt(require('node:fs').readFileSync(${JSON.stringify(pidFile)}, 'utf8')), 'SIGINT')`;
    const server = { start: [process.execPath, '-e', start], stop: [process.execPath, '-e', stop], pidFile };
    const guarded = withLog((output) => spawnGuardedByNode(server, { cwd: folder, output }));
    const ended = exitOf(guarded);
    await expect.poll(log, patient).toBe('runs\n');
    shutDown(guarded);
    expect(await ended).toBe(0);
    expect(log()).toBe('runs\nstopped\n');
  });

  test('it ends with its server, and says when that cannot be started', async () => {
    const ends = withLog((output) =>
      spawnGuardedByNode({ start: [process.execPath, '-e', 'process.exit(7)'] }, { cwd: folder, output }),
    );
    expect(await exitOf(ends)).toBe(7);
    const nothing = withLog((output) => spawnGuardedByNode({ start: ['no-such-program'] }, { cwd: folder, output }));
    expect(await exitOf(nothing)).toBe(1);
    expect(log()).toMatch(/no-such-program ENOENT/);
  });
});
