/** Pages of the gateway. Whoever opens an address in a browser is told in words what is wrong there, and what to do. */
import type { FastifyInstance } from 'fastify';
import { createHash } from 'node:crypto';
import { PROBLEM_TYPE } from '#nest';
import { escapeHtml } from './html.js';
import { loginAt } from './return-to.js';

const STYLE = `
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { max-width: 30rem; margin: 0 auto; padding: 3rem 1.25rem; }
  h1 { font-size: 1.5rem; line-height: 1.25; }
  a { color: inherit; }
  small { opacity: .7; overflow-wrap: anywhere; }
`;

/** No page uses these, so no script that got into one does. */
const PERMISSIONS_POLICY = 'camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()';

const HEADERS = {
  'content-security-policy': [
    "default-src 'none'",
    `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
    'img-src data:',
    "frame-ancestors 'none'",
    "form-action 'none'",
    "base-uri 'none'",
  ].join('; '),
  'permissions-policy': PERMISSIONS_POLICY,
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

/** What a page tells of a problem. */
interface Told {
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly instance: string;
  readonly correlationId: string;
  /** Where to log in, when that is the remedy. */
  readonly login?: string;
}

/** Turns every problem of the gateway's own into a page, for who asks for one, and says what no page may. */
export function usePages(http: FastifyInstance): void {
  http.addHook('onSend', async (request, reply, payload) => {
    const type = String(reply.getHeader('content-type'));
    if (type.startsWith('text/html')) reply.header('permissions-policy', PERMISSIONS_POLICY);
    const wantsPage = /\btext\/html\b/i.test(request.headers.accept ?? '');
    if (!wantsPage || typeof payload !== 'string' || !type.startsWith(PROBLEM_TYPE)) return payload;
    reply.removeHeader('content-length');
    reply.type('text/html; charset=utf-8').headers(HEADERS);
    return pageOf(JSON.parse(payload) as Told);
  });
}

function pageOf({ title, status, code, detail, instance, correlationId, login }: Told): string {
  const words = code === 'unauthenticated' ? 'Log in first: this is not for everybody.' : detail;
  const at = login ?? (status === 401 ? loginAt(instance) : undefined);
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)} · Larder</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
<main>
<h1>${escapeHtml(title)}</h1>
<p>${escapeHtml(words)}</p>
${at === undefined ? '' : `<p><a href="${escapeHtml(at)}">Log in</a></p>\n`}<p><a href="/">To the shop</a></p>
<p><small>In the log it is ${escapeHtml(correlationId)}.</small></p>
</main>
</html>
`;
}
