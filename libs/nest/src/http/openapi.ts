/**
 * The OpenAPI document at `/docs-json` and its page at `/docs`, made from the zod schemas that check the requests.
 *
 * `@nestjs/swagger` costs 12 MB of memory, which nobody needs who does not look at the page. It is therefore loaded by
 * the first look, and its decorators are written as `@documented(({ ApiOperation }) => ApiOperation({ … }))`, which
 * keeps them for then. What Nest knows by itself (routes, `@Body({ schema })`, `@Query({ schema })`) needs none.
 */
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { Problem } from './problem.js';

type Swagger = typeof import('@nestjs/swagger');

const waiting: ((swagger: Swagger) => void)[] = [];

/** Puts a decorator of @nestjs/swagger on a route handler once the document is asked for. */
export function documented(decorator: (swagger: Swagger) => MethodDecorator): MethodDecorator {
  return (target, key, descriptor) => {
    waiting.push((swagger) => void decorator(swagger)(target, key, descriptor));
  };
}

/** The same for a decorator of a handler's parameter, which documents the route that it stands in. */
export function documentedParameter(decorator: (swagger: Swagger) => MethodDecorator): ParameterDecorator {
  return onRoute(documented(decorator));
}

/** A parameter's decorator that decorates the route. */
export function onRoute(decorator: MethodDecorator): ParameterDecorator {
  return (target, key) => {
    if (key === undefined) return;
    const descriptor = Object.getOwnPropertyDescriptor(target, key);
    if (descriptor) decorator(target, key, descriptor);
  };
}

/** Problems as problem.ts makes them. A route that says nothing else has this for whatever is not its answer. */
const problem = z.looseObject({
  type: z.string().describe('`urn:larder:problem:<code>`'),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: z.string().describe('Stable: what a program may decide on'),
  instance: z.string(),
  correlationId: z.string().optional(),
});

/** `@refuses(409, 'order-confirmed')`: documents the codes that a route may answer with a status. */
export function refuses(status: number, ...codes: readonly string[]): MethodDecorator {
  const coded = { type: 'object', properties: { code: { type: 'string', enum: [...codes] } }, required: ['code'] };
  const schema = { allOf: [{ $ref: '#/components/schemas/Problem' }, coded] };
  const description = codes.map((code) => `\`${code}\``).join(', ');
  const retryAfter = { 'Retry-After': { description: 'Seconds', schema: { type: 'integer' as const } } };
  return documented(({ ApiResponse }) =>
    ApiResponse({
      status,
      description,
      ...(status === 503 && { headers: retryAfter }),
      content: { 'application/problem+json': { schema } },
    }),
  );
}

/** The document, made anew. */
export async function openApiDocument(app: NestFastifyApplication, title: string): Promise<object> {
  const swagger = await import('@nestjs/swagger');
  for (const decorate of waiting.splice(0)) decorate(swagger);
  const about = new swagger.DocumentBuilder()
    .setTitle(title)
    .setVersion('1')
    .addGlobalResponse({
      status: 'default',
      description: 'A problem (RFC 9457)',
      content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
    })
    .build();
  const { components, ...document } = swagger.SwaggerModule.createDocument(app, about);
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

/** Adds `/docs` and `/docs-json`. */
export function serveDocs(http: FastifyInstance, app: () => NestFastifyApplication, title: string): void {
  let document: Promise<object> | undefined;
  http.get('/docs', (_request, reply) => reply.type('text/html').send(PAGE));
  http.get('/docs-json', () => (document ??= openApiDocument(app(), title)));
  http.get('/docs/start.js', (_request, reply) => reply.type('text/javascript').send(START));
  http.get<{ Params: { file: string } }>('/docs/:file', async ({ params: { file } }, reply) => {
    const type = FILES.get(file);
    if (!type) throw new Problem(404, 'not-found', 'There is nothing here.');
    return reply.type(type).send(await readFile(fileURLToPath(import.meta.resolve(`swagger-ui-dist/${file}`))));
  });
}
