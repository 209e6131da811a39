/**
 * The OpenAPI document at `/docs-json` and its page at `/docs`: made from the routes, from the zod schemas that check
 * their requests, and from what `@route` says of them.
 */
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { accessOf, type AccessRule, type AccessTable } from '#service';
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

/** An operation as OpenAPI has it. */
export interface Operation {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, object>>;
  readonly parameters?: readonly object[];
  readonly security?: readonly object[];
  readonly [field: string]: unknown;
}

/** By path (`/orders/{orderId}`) and method (`get`). */
export type Paths = Readonly<Record<string, Readonly<Record<string, Operation>>>>;

export type Schemas = Readonly<Record<string, object>>;

export interface OpenApi {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string; readonly description?: string };
  readonly paths: Paths;
  readonly components: Readonly<Record<'schemas' | 'responses' | 'securitySchemes', Schemas>>;
}

/** The document of what Nest serves. Operations are named for their handlers' methods, whose names are unique within a service. */
export async function openApiDocument(
  app: NestFastifyApplication,
  title: string,
  ownAccess: AccessTable,
): Promise<OpenApi> {
  const swagger = await import('@nestjs/swagger');
  documentRoutes(swagger);
  const { components, paths } = swagger.SwaggerModule.createDocument(app, new swagger.DocumentBuilder().build(), {
    operationIdFactory: (_controller, method) => method,
  });
  return documentOf(title, ownAccess, paths as unknown as Paths, components?.schemas ?? {});
}

/** The document of these operations, with what is the same at each: who may call it, and what any may refuse. */
export function documentOf(title: string, ownAccess: AccessTable, paths: Paths, schemas: Schemas): OpenApi {
  const access = accessOf(ownAccess);
  const operations = Object.entries(paths).map(([path, item]) => {
    const withAccess = Object.entries(item).map(([method, operation]) => [
      method,
      guarded(operation, access[`${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`]),
    ]);
    return [path, Object.fromEntries(withAccess)];
  });
  return {
    openapi: '3.0.0',
    info: { title, version: '1' },
    paths: Object.fromEntries(operations),
    components: {
      schemas: { ...schemas, Problem: z.toJSONSchema(problem, { target: 'openapi-3.0' }) },
      responses: usual,
      securitySchemes: { bearer },
    },
  };
}

/** What is the same at every operation stands in the document once. */
const usual = {
  Problem: {
    description:
      'A problem (RFC 9457). Any request may get `bad-request` (400), `not-found` (404), `method-not-allowed` (405), ' +
      '`request-timeout` (408), `uri-too-long` (414), `headers-too-large` (431), `internal-error` (500) and ' +
      '`unknown-method` (501), from a browser `cross-site` (403) and `foreign-host` (421), and while the issuer of tokens is away `issuer-unavailable` (503); what follows from the ' +
      'route stands with it.',
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  },
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

const response = (name: keyof typeof usual) => ({ $ref: `#/components/responses/${name}` });

function guarded(operation: Operation, rule: AccessRule = {}): Operation {
  // The routes that are not limited are not in the document.
  const responses = { ...operation.responses, 429: response('TooManyRequests'), default: response('Problem') };
  if (rule === 'anyone') return { ...operation, responses, security: [] };
  const whose = Object.entries(rule).map(([role, whose]) => (whose === 'own' ? `${role} (their own)` : role));
  return {
    ...operation,
    description: `For: ${whose.join(', ')}.`,
    security: [{ bearer: [] }],
    responses: { ...responses, 401: response('Unauthenticated'), 403: response('Forbidden') },
  };
}

const PAGE = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>API</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/docs/swagger-ui.css"></head>
<body><div id="page"></div><script src="/docs/swagger-ui-bundle.js"></script><script type="module" src="/docs/start.js"></script></body>
</html>`;

/** The document is not for everybody: without a session, the page asks for a token once, and keeps it for as long as its tab is open. */
const START = `
const KEY = 'larder-token';
const load = (token) => {
  const headers = token === null ? {} : { authorization: 'Bearer ' + token.trim().replace(/^(authorization: *)?bearer +/i, '') };
  return fetch('/docs-json', { headers }).then((answer) => ({ answer, token, headers }));
};
let loaded = await load(sessionStorage.getItem(KEY));
if (loaded.answer.status === 401) loaded = await load(prompt('An access token of a clerk, an operator or a machine:') ?? '');
const { answer, token, headers } = loaded;
const found = await answer.json();
if (answer.ok && token !== null) sessionStorage.setItem(KEY, token);
else sessionStorage.removeItem(KEY);
if (answer.ok) {
  const requestInterceptor = (request) => ({ ...request, headers: { ...headers, ...request.headers } });
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

/** Adds `/docs` and `/docs-json`, which answers with what `document` returns. */
export function serveDocs(http: FastifyInstance, document: (request: FastifyRequest) => Promise<OpenApi>): void {
  http.get('/docs', (_request, reply) => reply.headers(CACHED).type('text/html').send(PAGE));
  http.get('/docs-json', async (request, reply) => reply.send(await document(request)));
  http.get('/docs/start.js', (_request, reply) => reply.headers(CACHED).type('text/javascript').send(START));
  http.get<{ Params: { file: string } }>('/docs/:file', async ({ params: { file } }, reply) => {
    const type = FILES.get(file);
    if (!type) throw new Problem(404, 'not-found', 'Nothing is at this path.');
    const content = await readFile(fileURLToPath(import.meta.resolve(`swagger-ui-dist/${file}`)));
    return reply.headers(CACHED).type(type).send(content);
  });
}
