/** The memory of a lab: of this process and all that it has started, the servers with each of their connections included. */
import { readdirSync, readFileSync } from 'node:fs';

/**
 * In MB. What several processes share counts once: the proportional set size, which only Linux tells. See proc(5),
 * /proc/pid/smaps_rollup.
 * @returns undefined where the system does not say
 */
export function memoryOfAll(): number | undefined {
  if (process.platform !== 'linux') return undefined;
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const status = /^\d+$/.test(name) ? readOf(name, 'status') : '';
    const parent = /^PPid:\s*(\d+)/m.exec(status)?.[1];
    if (parent) parents.set(Number(name), Number(parent));
  }
  const isOurs = (pid: number | undefined): boolean =>
    pid !== undefined && (pid === process.pid || isOurs(parents.get(pid)));
  const kilobytes = [...parents.keys()]
    .filter(isOurs)
    .map((pid) => Number(/^Pss:\s*(\d+)/m.exec(readOf(`${pid}`, 'smaps_rollup'))?.[1] ?? 0));
  return kilobytes.reduce((sum, each) => sum + each, 0) / 1_024;
}

/** Empty when the process has ended meanwhile. */
function readOf(pid: string, file: 'status' | 'smaps_rollup'): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}
