/** The processor time of processes, by proc(5): none where there is no /proc. */
import { readdirSync, readFileSync } from 'node:fs';

/** Of processor time, in a second: USER_HZ, which is the same on every Linux. */
export const TICKS_PER_SECOND = 100;

/** What a process has taken so far, in ticks of the clock. */
export function ticks(pid: number): number {
  const { own } = statOf(pid);
  return own;
}

/** What a server has taken so far with all processes that it has started: those that run, and those that have ended. */
export function ticksOfServer(pid: number): number {
  const { own, ended } = statOf(pid);
  const running = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => statOf(Number(name)))
    .filter(({ parent }) => parent === pid);
  return running.reduce((sum, child) => sum + child.own, own + ended);
}

export function parentOf(pid: number): number {
  return statOf(pid).parent;
}

/** Its fields are counted from behind the name, which may contain anything: the fourth, and from the 14th on. */
function statOf(pid: number): { parent: number; own: number; ended: number } {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [user, system, endedUser, endedSystem] = fields.slice(11, 15).map(Number) as [number, number, number, number];
    return { parent: Number(fields[1]), own: user + system, ended: endedUser + endedSystem };
  } catch {
    return { parent: 0, own: 0, ended: 0 }; // It has ended.
  }
}

/** What a process has in memory, in megabytes of 1,000,000 bytes. */
export function residentMb(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return (Number(kilobytes) * 1_024) / 1_000_000;
}
