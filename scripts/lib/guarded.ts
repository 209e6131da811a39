/**
 * Servers that end with the process that has started them, however it ends, even by `kill -9`:
 *
 *   this process ──pipe──▶ a shell, in a process group of its own
 *                             ├─ the server
 *                             └─ guard: reads the pipe until it ends, then sends the signal that the server stops by
 *
 * Ctrl-C in a terminal goes to the terminal's whole process group. The server is outside of it, because it has to outlive
 * the services while they shut down.
 *
 * Windows has neither that shell nor signals: there the guard is a process of Node (41 MB, where a shell takes 2), and a
 * server is stopped by a command, if it has one, or else at once.
 */
import { type ChildProcess, spawn, spawnSync, type StdioOptions } from 'node:child_process';

export interface Guarded {
  readonly program: string;
  readonly args: readonly string[];
  /** What it shuts down by. */
  readonly signal: 'SIGINT' | 'SIGTERM';
  /** On Windows, where they are other programs: what starts it, and what stops it. */
  readonly onWindows?: Detached;
}

/** A server that a program starts in the background. It runs as long as the process whose id is the first line of `pidFile`. */
export interface Detached {
  readonly start: readonly string[];
  readonly stop: readonly string[];
  readonly pidFile: string;
}

export interface GuardedOptions {
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly uid?: number;
  readonly gid?: number;
  /** The descriptor of a file. */
  readonly output: number;
}

/** The signal's name is $0. A shell gives what it runs in the background no input. */
const SHELL_GUARD = `
  exec 3<&0 < /dev/null
  "$@" 3<&- & program=$!
  { read -r _; kill -$0 $program; } <&3 & guard=$!
  exec 3<&-
  wait $program; status=$?
  kill $guard 2> /dev/null; wait $guard 2> /dev/null
  exit $status`;

const NODE_GUARD = `
  const { spawn, spawnSync } = require('node:child_process');
  const { readFileSync } = require('node:fs');
  const { start, stop, pidFile } = JSON.parse(process.argv[1]);
  const [program, ...args] = start;
  const server = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'], windowsHide: true });
  server.on('error', (error) => { console.error(error.message); process.exit(1); });
  server.on('exit', (code) => {
    if (code !== 0 || !pidFile) process.exit(code ?? 1);
    const pid = parseInt(readFileSync(pidFile, 'utf8'));
    setInterval(() => { try { process.kill(pid, 0); } catch { process.exit(0); } }, 100);
  });
  process.stdin.on('error', () => {}).on('close', () => {
    if (stop) spawnSync(stop[0], stop.slice(1), { stdio: ['ignore', 'inherit', 'inherit'], windowsHide: true });
    else server.kill();
  }).resume();`;

/** Starts a server, whose output goes to a file. The process that is returned ends when the server has ended. */
export function spawnGuarded(server: Guarded, options: GuardedOptions): ChildProcess {
  const { program, args, signal, onWindows } = server;
  if (process.platform === 'win32') return spawnGuardedByNode(onWindows ?? { start: [program, ...args] }, options);
  return spawn('/bin/sh', ['-c', SHELL_GUARD, signal.slice('SIG'.length), program, ...args], outside(options));
}

/** As on Windows; elsewhere too, for its spec. */
export function spawnGuardedByNode(server: Detached | Pick<Detached, 'start'>, options: GuardedOptions): ChildProcess {
  return spawn(process.execPath, ['-e', NODE_GUARD, JSON.stringify(server)], outside(options));
}

function outside({ output, ...options }: GuardedOptions) {
  const stdio: StdioOptions = ['pipe', output, output];
  return { ...options, detached: true, windowsHide: true, stdio };
}

/** Shuts the server down, as the end of this process would. */
export function shutDown(guarded: ChildProcess): void {
  guarded.stdin?.destroy();
}

/** Ends the server and its guard at once. */
export function killGuarded(guarded: ChildProcess, signal: 'SIGKILL' | 'SIGQUIT' = 'SIGKILL'): void {
  if (process.platform === 'win32') spawnSync('taskkill', ['/pid', `${guarded.pid}`, '/t', '/f']);
  else process.kill(-guarded.pid!, signal);
}
