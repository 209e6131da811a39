/** The pages of the OpenID provider for development: plain HTML with one style, which works without scripts. */
import type { ServerResponse } from 'node:http';
import { createHash } from 'node:crypto';
import { escapeHtml } from '../../apps/gateway/src/http/html.js';
import { accountNames, accounts, isMachine } from './accounts.js';

const STYLE = `
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { max-width: 30rem; margin: 0 auto; padding: 3rem 1.25rem; }
  h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 1.5rem; }
  p { margin: 0 0 1.5rem; }
  li { margin: 0 0 .75rem; }
  a { color: inherit; }
  button { font: inherit; cursor: pointer; }
  .account { display: block; width: 100%; margin: 0 0 .75rem; padding: .75rem 1rem; text-align: left;
    color: inherit; background: none; border: 1px solid #8888; border-radius: .5rem; }
  .account:hover, .account:focus-visible { border-color: currentColor; }
  .account strong { display: block; }
  .cancel { padding: .25rem 0; color: inherit; background: none; border: 0; text-decoration: underline; }
  .note { margin: 2rem 0 0; padding: .75rem 1rem; border-left: .25rem solid #d98324; background: #d9832422; }
`;

const headers = {
  'content-type': 'text/html; charset=utf-8',
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  // A browser asks for form-action also about where the form's answer leads: to the application on this machine.
  'content-security-policy': [
    "default-src 'none'",
    `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
    "form-action 'self' http://127.0.0.1:* http://localhost:*",
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join('; '),
};

const NOTE = `<p class="note"><strong>For development only.</strong> Nobody is asked for a password here: whoever can open this
  page can be anyone in this shop. A shop that others can reach needs an OpenID provider of its own.</p>`;

export interface Page {
  readonly title: string;
  readonly body: string;
}

/** Where somebody chooses who to be. `application` is who asks, and `action` is where the choice is sent. */
export function loginPage(application: string, action: string): Page {
  const people = accountNames.filter((name) => !isMachine(accounts[name]));
  const choices = people.map((name) => {
    const { name: person, roles, may } = accounts[name];
    return `<button class="account" name="account" value="${name}"><strong>${person}, ${roles.join(', ')}</strong> ${may}</button>`;
  });
  return {
    title: 'Who are you?',
    body: `<p>You are logging in to <strong>${escapeHtml(application)}</strong>.</p>
<form method="post" action="${escapeHtml(action)}">
${choices.join('\n')}
<button class="cancel" name="cancel" value="yes">Cancel</button>
</form>
${NOTE}`,
  };
}

/** For somebody who opens the provider's address. */
export function homePage(issuer: string): Page {
  const rows = accountNames.map((name) => {
    const { name: person, roles, may } = accounts[name];
    return `<li><strong>${name}</strong>: ${person}, ${roles.join(', ')}. ${may}</li>`;
  });
  return {
    title: 'The OpenID provider of this shop',
    body: `<p>It issues the tokens of <strong>${escapeHtml(issuer)}</strong>. Its addresses are in its
  <a href="/.well-known/openid-configuration">discovery document</a>, and these are its accounts:</p>
<ul>
${rows.join('\n')}
</ul>
${NOTE}`,
  };
}

export function errorPage(title: string, detail: string): Page {
  return {
    title,
    body: `<p>${escapeHtml(detail)}</p>\n<p>Go back to the application, and start again from there.</p>`,
  };
}

export function htmlOf({ title, body }: Page): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)} · Larder</title>
<style>${STYLE}</style>
<main>
<h1>${escapeHtml(title)}</h1>
${body}
</main>
</html>
`;
}

export function sendPage(response: ServerResponse, status: number, page: Page): void {
  response.writeHead(status, headers).end(htmlOf(page));
}

/** The headers of a page, where something else sends it. */
export const pageHeaders: Readonly<Record<string, string>> = headers;
