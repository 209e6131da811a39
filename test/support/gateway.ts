/** A gateway in this process, for specs of what browsers do. */
import { freePort } from '../../scripts/lib/embedded-postgres.js';
import { startGateway } from '../../apps/gateway/src/http/gateway.js';
import { Browser } from './browser.js';

/** `issuer` is who it takes tokens of. */
export async function openGateway(issuer: string, env: NodeJS.ProcessEnv = {}) {
  const port = await freePort();
  const variables = { PORT: `${port}`, AUTH_ISSUER: issuer, LOG_LEVEL: 'silent', RATE_LIMIT_PER_ADDRESS: '9999/10s' };
  const { stop } = await startGateway({ env: { ...variables, ...env } });
  const url = `http://localhost:${port}`;
  return {
    url,
    stop,
    /** Somebody's browser, which goes from the gateway to the provider and back, unless `stopsAt` says otherwise. */
    newBrowser: (stopsAt: (at: URL) => boolean = () => false) =>
      new Browser(url, (at) => [url, issuer].includes(at.origin) && !stopsAt(at)),
  };
}

/** Logs somebody in at the provider for development: by its page, as a person does. */
export async function logIn(browser: Browser, account: string, returnTo = '/session') {
  const page = await browser.go(`/login?returnTo=${encodeURIComponent(returnTo)}`);
  return browser.go(page.at.href, { form: { account } });
}

/** What `GET /session` tells the browser. */
export async function sessionOf(browser: Browser) {
  const { text } = await browser.go('/session', { headers: { accept: 'application/json' } });
  return JSON.parse(text);
}
