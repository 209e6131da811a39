/** One service as a process: started, found ready, stopped, and its end explained. */
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
   * Starts `dist/apps/<name>/src/main.js`, whose output is appended to the file `log`. It is a process group of its own,
   * so that Ctrl-C in a terminal reaches it only through us; it stops by itself when the IPC channel to us closes.
   * `program` is another one to start, which is given the name.
   */
  constructor(
    readonly name: string,
    readonly port: number,
    env: NodeJS.ProcessEnv,
    private readonly log: string,
    program = `dist/apps/${name}/src/main.js`,
  ) {
    if (!existsSync(program)) throw new Advice(`${resolve(program)} does not exist: \`npm run build\` makes it.`);
    const output = openSync(log, 'a');
    this.child = fork(resolve(program), [name], {
      detached: true,
      env: { ...process.env, HOST: '127.0.0.1', ...env, PORT: `${port}` },
      // kafkajs sets timers whose time has passed, of which Node 24 warns; they do no harm. And new objects get a quarter
      // of the space that V8 would give them: 25 MB less, for 4 % more processor time. The image sets both in NODE_OPTIONS.
      execArgv: ['--disable-warning=TimeoutNegativeWarning', '--max-semi-space-size=4'],
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

  /** Resolves when the service answers that it is ready. @throws Advice when it ends before that, or takes a minute */
  async ready(): Promise<void> {
    const giveUpAt = Date.now() + READY_WITHIN_MS;
    let answer = 'nothing listens yet';
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
      if (Date.now() > giveUpAt) throw new Advice(`${this.name} is still not ready: ${answer}. See ${this.log}.`);
      await sleep(50);
    }
    throw new Advice(
      `${this.name} ended while it started (${await this.ended}): ${this.lastWords()}. See ${this.log}.`,
    );
  }

  /** Sends SIGTERM, so that it finishes what it has begun, and SIGKILL after a while. */
  async stop(): Promise<void> {
    this.kill('SIGTERM');
    const impatient = setTimeout(() => this.kill('SIGKILL'), STOPS_WITHIN_MS);
    await this.ended;
    clearTimeout(impatient);
  }

  /** Sends a message over the IPC channel. */
  send(message: object): void {
    this.child.send(message);
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** What the log says last: the message of the last error, or its last line. */
  lastWords(): string {
    const lines = readFileSync(this.log, 'utf8').trimEnd().split('\n').slice(-50).map(readable);
    return (lines.findLast(({ isError }) => isError) ?? lines.at(-1))?.text ?? '';
  }
}

/** A line of a log: pino's JSON, or what Node prints when a program fails. */
function readable(line: string): { text: string; isError: boolean } {
  try {
    const entry = JSON.parse(line) as { level: number; msg?: string; err?: { message?: string } };
    return { text: [entry.msg, entry.err?.message].filter(Boolean).join(': '), isError: entry.level >= 50 };
  } catch {
    return { text: line.trim(), isError: /^\s*(\w*Error|Uncaught)\b/.test(line) };
  }
}
