/** A service as a child process: starts it, waits until it is ready, stops it, and explains why it ended. */
import { type ChildProcess, fork } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Advice } from './advice.js';

const READY_WITHIN_MS = 60_000;
const STOPS_WITHIN_MS = 15_000;

export class ServiceProcess {
  /** Resolves with the exit code or the signal when the process has ended. */
  readonly ended: Promise<number | string>;
  private readonly child: ChildProcess;

  /**
   * Starts `dist/apps/<name>/src/main.js`, whose output is appended to the file `log`. It has a process group of its own,
   * so that Ctrl-C in a terminal reaches it only through us; it stops by itself when the IPC channel to us closes.
   * `program` is another program to start, with the name as its argument.
   */
  constructor(
    readonly name: string,
    readonly port: number,
    env: NodeJS.ProcessEnv,
    private readonly log: string,
    program = `dist/apps/${name}/src/main.js`,
  ) {
    if (!existsSync(program)) throw new Advice(`${resolve(program)} does not exist. Build it with \`npm run build\`.`);
    const output = openSync(log, 'a');
    const own: NodeJS.ProcessEnv = { HOST: '127.0.0.1', ...env, PORT: `${port}` };
    // A variable may be given as X or as X_FILE: what is given here comes before either in our own environment.
    for (const name of Object.keys(own)) own[name.endsWith('_FILE') ? name.slice(0, -5) : `${name}_FILE`] ??= undefined;
    this.child = fork(resolve(program), [name], {
      detached: true,
      env: { ...process.env, ...own },
      // kafkajs sets timers for times in the past, and Node 24 warns about them; they do no harm. The image does it, too.
      execArgv: ['--disable-warning=TimeoutNegativeWarning'],
      stdio: ['ignore', output, output, 'ipc'],
    });
    closeSync(output);
    this.ended = new Promise((ended) => this.child.on('exit', (code, signal) => ended(signal ?? code ?? 0)));
  }

  get pid(): number {
    return this.child.pid!;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Resolves when the service reports that it is ready. @throws Advice when it ends before that, or is not ready in a minute */
  async ready(): Promise<void> {
    const giveUpAt = performance.now() + READY_WITHIN_MS;
    let answer = 'it does not listen yet';
    while (this.running) {
      try {
        const response = await fetch(`http://127.0.0.1:${this.port}/health/ready`, {
          signal: AbortSignal.timeout(5_000),
        });
        if (response.ok && this.running) return;
        answer = `${response.status} ${await response.text()}`;
      } catch {
        // It does not listen yet.
      }
      if (performance.now() > giveUpAt)
        throw new Advice(`${this.name} is not ready after ${READY_WITHIN_MS / 1000} s: ${answer}. See ${this.log}.`);
      await sleep(50);
    }
    throw new Advice(
      `${this.name} ended during its start (${await this.ended}): ${this.lastWords()}. See ${this.log}.`,
    );
  }

  /** Sends SIGTERM, which lets it finish its work, and SIGKILL after 15 s. On Windows either would kill it at once. */
  async stop(): Promise<void> {
    if (process.platform === 'win32' && this.child.connected) this.child.disconnect();
    else this.kill('SIGTERM');
    const impatient = setTimeout(() => this.kill('SIGKILL'), STOPS_WITHIN_MS);
    await this.ended;
    clearTimeout(impatient);
  }

  /** Sends a message over the IPC channel; it is lost when the process has just ended. */
  send(message: object): void {
    this.child.send(message, () => {});
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** The last error in the log, or its last line. */
  lastWords(): string {
    const lines = readFileSync(this.log, 'utf8').trimEnd().split('\n').slice(-50).map(parseLine);
    return (lines.findLast(({ isError }) => isError) ?? lines.at(-1))?.text ?? '';
  }
}

/** Reads a line of a log: pino's JSON, or what Node prints when a program fails. */
function parseLine(line: string): { text: string; isError: boolean } {
  try {
    const entry = JSON.parse(line) as { level: number; msg?: string; err?: { message?: string } };
    return { text: [entry.msg, entry.err?.message].filter(Boolean).join(': '), isError: entry.level >= 50 };
  } catch {
    return { text: line.trim(), isError: /^\s*(\w*Error|Uncaught)\b/.test(line) };
  }
}
