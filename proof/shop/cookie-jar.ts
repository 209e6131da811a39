/** What a browser does with cookies, as far as one host is concerned. */
export class CookieJar {
  private readonly cookies = new Map<string, string>();

  /** The header of a request with all of them. */
  get headers(): Record<string, string> {
    const pairs = [...this.cookies].map(([name, value]) => `${name}=${value}`);
    return pairs.length === 0 ? {} : { cookie: pairs.join('; ') };
  }

  /** Keeps what an answer sets: the lines of its Set-Cookie. */
  keep(lines: readonly string[]): void {
    for (const line of lines) {
      const [, name = '', value = ''] = /^([^=;]+)=([^;]*)/.exec(line) ?? [];
      if (/; *max-age=0(;|$)/i.test(line)) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
  }
}
