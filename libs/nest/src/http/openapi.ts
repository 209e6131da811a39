/**
 * The OpenAPI document at `/docs-json` and its page at `/docs`: made from the routes, from the zod schemas that check
 * their requests, and from what `@route` says of them.
 */
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { Problem } from './problem.js';
import { documentRoutes } from './route.js';

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

/** The current document. Operations are named for their handlers' methods, whose names are unique within a service. */
export async function openApiDocument(app: NestFastifyApplication, title: string): Promise<object> {
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
        '`unknown-method` (501); what follows from the route stands with it.',
      content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
    })
    .build();
  const { components, ...document } = swagger.SwaggerModule.createDocument(app, about, {
    operationIdFactory: (_controller, method) => method,
  });
  const schemas = { ...components?.schemas, Problem: z.toJSONSchema(problem, { target: 'openapi-3.0' }) };
  return { ...document, components: { ...components, schemas } };
}

const PAGE = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>API</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/docs/swagger-ui.css"></head>
<body><div id="page"></div><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body>
</html>`;

const START = `SwaggerUIBundle({ url: '/docs-json', dom_id: '#page', validatorUrl: null });`;

const FILES = new Map([
  ['swagger-ui.css', 'text/css'],
  ['swagger-ui-bundle.js', 'text/javascript'],
]);

/** They are the same for everybody until another version is deployed. */
const CACHED = { 'cache-control': 'public, max-age=300' };

/** Adds `/docs` and `/docs-json`. */
export function serveDocs(http: FastifyInstance, app: () => NestFastifyApplication, title: string): void {
  let document: Promise<object> | undefined;
  http.get('/docs', (_request, reply) => reply.headers(CACHED).type('text/html').send(PAGE));
  http.get('/docs-json', async (_request, reply) => {
    const found = await (document ??= openApiDocument(app(), title));
    return reply.headers(CACHED).send(found);
  });
  http.get('/docs/start.js', (_request, reply) => reply.headers(CACHED).type('text/javascript').send(START));
  http.get<{ Params: { file: string } }>('/docs/:file', async ({ params: { file } }, reply) => {
    const type = FILES.get(file);
    if (!type) throw new Problem(404, 'not-found', 'Nothing is at this path.');
    const content = await readFile(fileURLToPath(import.meta.resolve(`swagger-ui-dist/${file}`)));
    return reply.headers(CACHED).type(type).send(content);
  });
}
