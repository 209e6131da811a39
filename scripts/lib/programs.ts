/** Programs that a command runs to their end. */
import { spawn, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Runs a program to its end, and returns its exit code. It ends with us: a signal to this process alone is passed on, and
 * the code is then 128 and the signal's number; if this process exits meanwhile, the program is stopped.
 * @throws when it cannot be started
 */
export async function runProgram(program: string, args: readonly string[], options: SpawnOptions): Promise<number> {
  const child = spawn(program, args, options);
  let interrupted: NodeJS.Signals | undefined;
  const passOn = (signal: NodeJS.Signals) => child.kill((interrupted = signal));
  const stop = () => child.kill();
  for (const signal of SIGNALS) process.on(signal, passOn);
  process.on('exit', stop);
  try {
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    const killedBy = interrupted ?? signal;
    return killedBy ? 128 + constants.signals[killedBy] : code!;
  } finally {
    for (const signal of SIGNALS) process.off(signal, passOn);
    process.off('exit', stop);
  }
}
