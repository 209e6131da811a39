/** What a person sees while something is under way: a line per finished step, and below them what is being done. */
export class Screen {
  private readonly under = new Set<string>();
  private readonly live = process.stdout.isTTY;
  private ended = false;

  constructor() {
    process.stdout.on('error', () => {}); // The terminal may be closed before we are.
  }

  /** Runs one step, named by what it is doing; `done` puts down what came of it, with the time that it took. */
  async step<T>(doing: string, work: (done: (what: string, result: string) => void) => Promise<T>): Promise<T> {
    const startedMs = performance.now();
    this.under.add(doing);
    this.redraw();
    try {
      return await work((what, result) => {
        const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1);
        this.under.delete(doing);
        if (!this.ended) this.redraw(`  ${what.padEnd(11)} ${result.padEnd(50)} ${seconds.padStart(5)} s`);
      });
    } finally {
      this.under.delete(doing);
      this.redraw();
    }
  }

  say(text: string): void {
    this.redraw(text);
  }

  /** Nothing that is still under way is shown any more. */
  end(): void {
    this.under.clear();
    this.redraw();
    this.ended = true;
  }

  private redraw(text?: string): void {
    if (this.live && !this.ended) process.stdout.write('\r\x1b[K');
    if (text !== undefined) process.stdout.write(`${text}\n`);
    if (this.live && !this.ended && this.under.size > 0) process.stdout.write(dim(`  … ${[...this.under].join(', ')}`));
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
