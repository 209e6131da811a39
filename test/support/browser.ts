/** A browser, as far as a login needs one: it has cookies, and goes where it is led. */

interface Visit {
  readonly form?: Record<string, string>;
  readonly method?: string;
  readonly headers?: Record<string, string>;
}

interface Cookie {
  readonly name: string;
  readonly path: string;
  readonly host: string;
  readonly value: string;
}

export class Browser {
  private cookies: Cookie[] = [];

  /** `follows` says where it goes when it is led there; elsewhere it stops before it asks. */
  constructor(
    private readonly base: string,
    private readonly follows: (at: URL) => boolean = ({ host }) => host === new URL(base).host,
  ) {}

  async go(to: string, { form, method = form ? 'POST' : 'GET', headers = {} }: Visit = {}) {
    let at = new URL(to, this.base);
    let init: RequestInit = { method, ...(form && { body: new URLSearchParams(form) }) };
    const asked: string[] = [];
    for (;;) {
      asked.push(at.href);
      const sent = { accept: 'text/html', cookie: this.cookiesFor(at), ...headers };
      const response = await fetch(at, { redirect: 'manual', ...init, headers: sent });
      for (const cookie of response.headers.getSetCookie()) this.keep(cookie, at);
      init = {};
      const location = response.headers.get('location');
      if (location) at = new URL(location, at);
      if (!location || !this.follows(at))
        return { at, asked, status: response.status, text: await response.text(), headers: response.headers };
    }
  }

  /** Of one cookie, what it has; undefined when it has none. */
  valueOf(name: string): string | undefined {
    return this.cookies.find((each) => each.name === name)?.value;
  }

  cookiesFor({ hostname, pathname }: URL): string {
    const sent = this.cookies.filter(({ host, path }) => host === hostname && pathname.startsWith(path));
    return sent.map(({ name, value }) => `${name}=${value}`).join('; ');
  }

  /** Takes a `Set-Cookie` of the answer to a request for `at`. */
  keep(text: string, { hostname: host }: URL = new URL(this.base)): void {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(text)! as unknown as [string, string, string];
    const path = /; *path=([^;]+)/i.exec(text)?.[1] ?? '/';
    this.cookies = this.cookies.filter((each) => each.name !== name || each.path !== path || each.host !== host);
    if (value !== '') this.cookies.push({ name, path, host, value });
  }
}
