/** The output of a long-running command: a line for each finished step, and below them the steps under way. */
export class Screen {
  private readonly underWay = new Set<string>();
  private readonly live = process.stdout.isTTY;
  private ended = false;

  constructor() {
    process.stdout.on('error', () => {}); // The terminal may close before this process ends.
  }

  /** Runs a step, which is shown as `doing` meanwhile; `done` prints its result, with the time that it took. */
  async step<T>(doing: string, work: (done: (what: string, result: string) => void) => Promise<T>): Promise<T> {
    const startedMs = performance.now();
    this.underWay.add(doing);
    this.redraw();
    try {
      return await work((what, result) => {
        const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1);
        this.underWay.delete(doing);
        if (!this.ended) this.redraw(`  ${what.padEnd(11)} ${result.padEnd(50)} ${seconds.padStart(5)} s`);
      });
    } finally {
      this.underWay.delete(doing);
      this.redraw();
    }
  }

  /** Prints a text above the steps under way. */
  print(text: string): void {
    this.redraw(text);
  }

  /** Stops showing the steps under way. */
  end(): void {
    this.underWay.clear();
    this.redraw();
    this.ended = true;
  }

  private redraw(text?: string): void {
    if (this.live && !this.ended) process.stdout.write('\r\x1b[K');
    if (text !== undefined) process.stdout.write(`${text}\n`);
    if (this.live && !this.ended && this.underWay.size > 0)
      process.stdout.write(dim(`  … ${[...this.underWay].join(', ')}`));
  }
}

const style = (code: number) => (text: string) =>
  process.stdout.isTTY && !process.env['NO_COLOR'] ? `\x1b[${code}m${text}\x1b[0m` : text;

export const bold = style(1);
export const dim = style(2);
export const red = style(31);
export const green = style(32);
export const yellow = style(33);
export const magenta = style(35);
export const cyan = style(36);
