/** A command that is ended by Ctrl-C in the middle of its work. */
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Runs a command of package.json with a temporary folder of its own, and interrupts it as soon as its output has `sign`.
 * `running` are its processes in the middle; `left` is what there is when it has ended: processes, and files.
 */
export async function interrupt(command: readonly string[], sign: string) {
  const folder = mkdtempSync(join(tmpdir(), 'larder-interrupted-'));
  chmodSync(folder, 0o755); // Postgres has a user of its own where we are root.
  const env = { ...process.env, TMPDIR: folder };
  const child = spawn(process.execPath, ['scripts/run.mjs', ...command], { env, stdio: 'pipe' });
  const ended = new Promise((resolve) => child.on('exit', (code, signal) => resolve(signal ?? code)));
  try {
    await new Promise<void>((inTheMiddle, failed) => {
      let output = '';
      child.stdout.on('data', (text) => (output += text).includes(sign) && inTheMiddle());
      child.stderr.on('data', (text) => (output += text));
      child.on('exit', () => failed(new Error(`It ended: ${output}`)));
    });
    const running = processesIn(folder);
    child.kill('SIGINT');
    const code = await ended;
    return { running, code, left: [...processesIn(folder), ...readdirSync(folder)] };
  } finally {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The processes whose command line or environment names this folder. */
function processesIn(folder: string): string[] {
  const { stdout } = spawnSync('ps', ['axeww', '-o', 'pid=,command='], { encoding: 'utf8', maxBuffer: 2 ** 26 });
  return stdout.split('\n').filter((line) => line.includes(folder) && !line.includes('ps axeww'));
}
