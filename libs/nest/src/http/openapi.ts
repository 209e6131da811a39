/**
 * The OpenAPI document at `/docs-json` and its page at `/docs`: made from the routes, from the zod schemas that check
 * their requests, and from what `@route` says of them.
 */
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { type AccessRule, type AccessTable, commonAccess } from '#service';
import { Problem } from './problem.js';
import { documentRoutes, problemWith } from './route.js';

/** Problems as problem.ts makes them: the default response of every route. */
const problem = z.looseObject({
  type: z.string().describe('`urn:larder:problem:<code>`'),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: z.string().describe('Stable: what a program may decide on'),
  instance: z.string(),
  correlationId: z.string().optional(),
});

/** What is said of access: once as security schemes are, and in words for each operation. */
const bearer = {
  type: 'http',
  scheme: 'bearer',
  bearerFormat: 'JWT',
  description: 'An access token (RFC 9068) of the issuer that the service is configured with',
} as const;

/** The current document. Operations are named for their handlers' methods, whose names are unique within a service. */
export async function openApiDocument(
  app: NestFastifyApplication,
  title: string,
  ownAccess: AccessTable,
): Promise<object> {
  const access: AccessTable = { ...commonAccess, ...ownAccess };
  const swagger = await import('@nestjs/swagger');
  documentRoutes(swagger);
  const about = new swagger.DocumentBuilder()
    .setTitle(title)
    .setVersion('1')
    .addGlobalResponse({
      status: 'default',
      description:
        'A problem (RFC 9457). Any request may get `bad-request` (400), `not-found` (404), `method-not-allowed` (405), ' +
        '`request-timeout` (408), `uri-too-long` (414), `headers-too-large` (431), `internal-error` (500) and ' +
        '`unknown-method` (501), from a browser `cross-site` (403) and `foreign-host` (421), and while the issuer of tokens is away `issuer-unavailable` (503); what follows from the ' +
        'route stands with it.',
      content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
    })
    .build();
  const { components, paths, ...document } = swagger.SwaggerModule.createDocument(app, about, {
    operationIdFactory: (_controller, method) => method,
  });
  const schemas = { ...components?.schemas, Problem: z.toJSONSchema(problem, { target: 'openapi-3.0' }) };
  const secured = Object.fromEntries(
    Object.entries(paths).map(([path, item]) => [
      path,
      Object.fromEntries(
        Object.entries(item as object).map(([method, operation]) => [
          method,
          withAccess(operation as Operation, access[`${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`]),
        ]),
      ),
    ]),
  );
  const securitySchemes = { bearer };
  return { ...document, paths: secured, components: { ...components, schemas, responses: refusals, securitySchemes } };
}

interface Operation {
  readonly responses: object;
}

/** What is the same at every operation stands in the document once. */
const refusals = {
  Unauthenticated: problemWith(['unauthenticated', 'token-invalid', 'token-expired']),
  Forbidden: problemWith(['forbidden']),
  TooManyRequests: {
    ...problemWith(['too-many-requests']),
    headers: {
      'Retry-After': { description: 'Seconds', schema: { type: 'integer' } },
      RateLimit: { description: 'What is left of the limit, and for how many seconds', schema: { type: 'string' } },
      'RateLimit-Policy': { description: 'The limit, and for how many seconds', schema: { type: 'string' } },
    },
  },
};

const refusal = (name: keyof typeof refusals) => ({ $ref: `#/components/responses/${name}` });

function withAccess(operation: Operation, rule: AccessRule = {}): object {
  // The routes that are not limited are not in the document.
  const responses = { ...operation.responses, 429: refusal('TooManyRequests') };
  if (rule === 'anyone') return { ...operation, responses, security: [] };
  const whose = Object.entries(rule).map(([role, whose]) => (whose === 'own' ? `${role} (their own)` : role));
  return {
    ...operation,
    description: `For: ${whose.join(', ')}.`,
    security: [{ bearer: [] }],
    responses: { ...responses, 401: refusal('Unauthenticated'), 403: refusal('Forbidden') },
  };
}

const PAGE = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>API</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/docs/swagger-ui.css"></head>
<body><div id="page"></div><script src="/docs/swagger-ui-bundle.js"></script><script type="module" src="/docs/start.js"></script></body>
</html>`;

/** The document is not for everybody, so the page asks for a token once, and keeps it for as long as its tab is open. */
const START = `
const KEY = 'larder-token';
const token = sessionStorage.getItem(KEY) ?? prompt('An access token of a clerk, an operator or a machine:') ?? '';
const authorization = 'Bearer ' + token.trim().replace(/^(authorization: *)?bearer +/i, '');
const answer = await fetch('/docs-json', { headers: { authorization } });
const found = await answer.json();
if (answer.ok) sessionStorage.setItem(KEY, token);
else sessionStorage.removeItem(KEY);
if (answer.ok) {
  const requestInterceptor = (request) => ({ ...request, headers: { authorization, ...request.headers } });
  SwaggerUIBundle({ spec: found, dom_id: '#page', validatorUrl: null, requestInterceptor });
} else {
  document.querySelector('#page').textContent = found.detail + ' Reload the page to try again.';
}`;

const FILES = new Map([
  ['swagger-ui.css', 'text/css'],
  ['swagger-ui-bundle.js', 'text/javascript'],
]);

/** They are the same for everybody until another version is deployed. */
const CACHED = { 'cache-control': 'public, max-age=300' };

/** Adds `/docs` and `/docs-json`. */
export function serveDocs(
  http: FastifyInstance,
  app: () => NestFastifyApplication,
  title: string,
  access: AccessTable,
): void {
  let document: Promise<object> | undefined;
  http.get('/docs', (_request, reply) => reply.headers(CACHED).type('text/html').send(PAGE));
  http.get('/docs-json', async (_request, reply) => {
    const found = await (document ??= openApiDocument(app(), title, access));
    return reply.send(found);
  });
  http.get('/docs/start.js', (_request, reply) => reply.headers(CACHED).type('text/javascript').send(START));
  http.get<{ Params: { file: string } }>('/docs/:file', async ({ params: { file } }, reply) => {
    const type = FILES.get(file);
    if (!type) throw new Problem(404, 'not-found', 'Nothing is at this path.');
    const content = await readFile(fileURLToPath(import.meta.resolve(`swagger-ui-dist/${file}`)));
    return reply.headers(CACHED).type(type).send(content);
  });
}
