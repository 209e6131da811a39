/** The progress of a long command, on stderr, so that its result on stdout can be redirected. */
import type { Clock } from '#runtime';

/** The streams for the result and for the progress, such as those of `process`. */
export interface Output {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean };
}

/** A bar that redraws itself on a terminal; elsewhere a line every five seconds. `noun` names what is counted, in the singular. */
export function progressBar(clock: Clock, stderr: Output['stderr'], noun: string) {
  const startedMs = clock.monotonicMs();
  let drawnMs = stderr.isTTY ? -Infinity : startedMs;
  let drawn = false;
  return {
    /**
     * `share` is the part of the work that is done, 0 to 1, and `before` the part that an earlier run had done; `done` is
     * how many this run has counted.
     */
    show({ share, before = 0, done }: { share: number; before?: number; done: number }): void {
      const nowMs = clock.monotonicMs();
      if (share <= before || nowMs - drawnMs < (stderr.isTTY ? 100 : 5_000)) return;
      drawnMs = nowMs;
      drawn = true;
      const seconds = Math.max(0.001, (nowMs - startedMs) / 1000);
      const left = Math.ceil((seconds * (1 - share)) / (share - before));
      const text = `${Math.floor(share * 100)} %, ${count(done, noun)}, ${number(Math.round(done / seconds))}/s, ${left} s left`;
      const full = Math.round(share * 30);
      stderr.write(stderr.isTTY ? `\r\x1b[K[${'█'.repeat(full)}${'·'.repeat(30 - full)}] ${text}` : `${text}\n`);
    },
    note(text: string): void {
      this.end();
      stderr.write(`${text}\n`);
    },
    /** Clears the bar. */
    end(): void {
      if (drawn && stderr.isTTY) stderr.write('\r\x1b[K');
      drawn = false;
    },
  };
}

/** `1 row`, `1,000 rows`. */
export function count(n: number, noun: string): string {
  return `${number(n)} ${noun}${n === 1 ? '' : 's'}`;
}

export function number(n: number | bigint): string {
  return n.toLocaleString('en-US');
}
