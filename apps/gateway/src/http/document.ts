/**
 * The OpenAPI document of all that the gateway offers: the documents of the services, with what the gateway adds to their
 * routes, and its own routes (operations.ts).
 *
 *   /docs-json of each service ─▶ the routes that the gateway has, at its paths ─┬─▶ one document
 *   operations.ts ───────────────────────────────────────────────────────────────┘
 *
 * Schemas that are the same in several documents are one. Of the same name and not the same, each has its service's name in
 * front, such as of two releases at once. A service that does not answer is named, and its routes are missing.
 */
import type { FastifyRequest } from 'fastify';
import {
  documentOf,
  extendDeadline,
  type OpenApi,
  type Operation,
  type Paths,
  problemWith,
  type Schemas,
  tryAgain,
} from '#nest';
import type { Clock } from '#runtime';
import { type Service, services } from '../../../shop.js';
import { gatewayAccess, keptRoutes, type ServiceRoute, serviceRoutes } from '../definition.js';
import { PART_WITHIN_MS, readPart } from './inside.js';
import { ownOperations, ownSchemas } from './operations.js';

export type ServiceDocuments = Readonly<Partial<Record<Service, OpenApi>>>;

/** The document for who asks for it, who asks the services for theirs by it. */
export async function askForDocument(
  request: FastifyRequest,
  { clock, partWithinMs = PART_WITHIN_MS }: { readonly clock: Clock; readonly partWithinMs?: number },
): Promise<OpenApi> {
  extendDeadline(request, partWithinMs);
  const answers = await Promise.all(
    services.map(async (service) => {
      const answer = await readPart(request, `/${service}/docs-json`, { clock, withinMs: partWithinMs });
      return answer?.status === 200 ? [[service, answer.body as unknown as OpenApi] as const] : [];
    }),
  );
  const found = answers.flat();
  if (found.length === 0) throw tryAgain('unavailable', 'No service answers. Try again.');
  return gatewayDocument(Object.fromEntries(found));
}

const ABOUT = `The one address of all services.

Who calls says so by an access token, or by the session of a browser, which \`GET /login\` begins. A write of a session carries \`Larder-CSRF\`, which \`GET /session\` tells.

What answers have shown of each service stands in signed cookies, \`larder-at-…\`. Whoever sends them back reads their own writes and never goes back in time, as if they had sent the \`Larder-Position\` of each answer.

Besides what is listed here there are the console (\`/\`), \`/health/live\`, \`/health/ready\` and \`/metrics\`.`;

export function gatewayDocument(documents: ServiceDocuments): OpenApi {
  const found = services.flatMap((service) => documents[service] ?? []);
  const differing = namesThatDiffer(found.map(({ components }) => components.schemas).concat(ownSchemas));
  const parts = services.flatMap((service) => {
    const document = documents[service];
    return document ? [partOf(document, service, differing)] : [];
  });
  const paths = [...parts.map((part) => part.paths), ownOperations].reduce(merge, {});
  const schemas = Object.assign({}, ...parts.map((part) => part.schemas), ownSchemas) as Schemas;
  const { openapi, info, paths: guarded, components } = documentOf('Larder', gatewayAccess, paths, schemas);
  const away = services.filter((service) => !documents[service]);
  const notes = away.map((service) => `**${service} does not answer now, so its routes are missing here.**`);
  return {
    openapi,
    info: { ...info, description: [ABOUT, ...notes].join('\n\n') },
    paths: eachOperation(guarded, withSession),
    components: {
      schemas: components.schemas,
      responses: {
        ...components.responses,
        Unauthenticated: problemWith(['unauthenticated', 'token-invalid', 'token-expired', 'session-ended']),
        Forbidden: problemWith(['forbidden', 'csrf']),
      },
      securitySchemes: {
        ...components.securitySchemes,
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: 'larder-session',
          description: 'The session of a browser; by HTTPS, its name is `__Host-larder-session`',
        },
      },
    },
  };
}

/** The names that stand for several schemas: what is not the same itself, and what refers to such a one. */
function namesThatDiffer(all: readonly Schemas[]): ReadonlySet<string> {
  const names = new Set(all.flatMap((schemas) => Object.keys(schemas)));
  const differing = new Set<string>();
  for (let before = -1; before < differing.size;) {
    before = differing.size;
    for (const name of names) {
      const texts = all.flatMap((schemas) => (name in schemas ? JSON.stringify(schemas[name]) : []));
      const isOne = new Set(texts).size === 1 && !referredToIn(texts[0]!).some((each) => differing.has(each));
      if (texts.length > 1 && !isOne) differing.add(name);
    }
  }
  return differing;
}

const REFERENCE = /"#\/components\/schemas\/([^"]+)"/g;

const referredToIn = (text: string) => [...text.matchAll(REFERENCE)].map(([, name]) => name!);

/** What of a service's document is the gateway's, by paths of the gateway. */
function partOf(document: OpenApi, service: Service, differing: ReadonlySet<string>) {
  const nameOf = (schema: string) => (differing.has(schema) ? `${capital(service)}${schema}` : schema);
  const text = JSON.stringify(document).replace(REFERENCE, (_, name: string) => {
    return `"#/components/schemas/${nameOf(name)}"`;
  });
  const { paths, components } = JSON.parse(text) as OpenApi;
  const schemas = Object.fromEntries(
    Object.entries(components.schemas).map(([name, schema]) => [nameOf(name), schema]),
  );
  const routes = serviceRoutes.filter((route) => route.service === service);
  const operations = routes.flatMap((route): Paths[] => {
    const { method, prefix } = route;
    const path = route.path.replace(/:(\w+)/g, '{$1}');
    const operation = paths[path.slice(prefix.length)]?.[method.toLowerCase()];
    return operation ? [{ [path]: { [method.toLowerCase()]: atGateway(operation, route) } }] : [];
  });
  return { paths: operations.reduce(merge, {}), schemas };
}

function merge(paths: Paths, more: Paths): Paths {
  const merged = Object.entries(more).map(([path, item]) => [path, { ...paths[path], ...item }]);
  return { ...paths, ...Object.fromEntries(merged) };
}

function eachOperation(paths: Paths, change: (operation: Operation, method: string) => Operation): Paths {
  const changed = Object.entries(paths).map(([path, item]) => {
    const operations = Object.entries(item).map(([method, operation]) => [method, change(operation, method)]);
    return [path, Object.fromEntries(operations)];
  });
  return Object.fromEntries(changed);
}

/** A service's operation with what the gateway does about it: it may be too busy, forget positions, and keep the answer. */
function atGateway(operation: Operation, { service, method, path, prefix }: ServiceRoute): Operation {
  const { operationId, parameters = [], responses } = operation;
  const isKept = keptRoutes.has(`${method} ${path}`);
  const [found, unavailable] = [responses['200'] as Answer, responses['503'] as Answer];
  const codes = method === 'GET' ? ['busy'] : ['busy', 'position-forgotten'];
  return {
    ...operation,
    operationId: prefix === '' ? operationId : `${service}${capital(operationId)}`,
    parameters: [...parameters, ...(isKept ? [ifNoneMatch] : [])],
    responses: {
      ...responses,
      503: { ...unavailable, ...problemWith([...new Set([...codesOf(unavailable), ...codes])]) },
      ...(isKept && {
        200: { ...found, headers: { ...found.headers, ...keptHeaders } },
        304: { description: 'It is still what `If-None-Match` names', headers: keptHeaders },
      }),
    },
  };
}

/** An operation that a session may call, too. */
function withSession(operation: Operation, method: string): Operation {
  const { security, parameters = [], responses } = operation;
  const isWrite = method !== 'get';
  return {
    ...operation,
    security: security!.length === 0 ? [] : [...security!, { session: [] }],
    parameters: [...parameters, ...(isWrite ? [csrf] : [])],
    responses: { ...responses, ...(isWrite && !('403' in responses) && { 403: problemWith(['csrf']) }) },
  };
}

interface Answer {
  readonly headers?: object;
  readonly content?: { readonly 'application/problem+json'?: { readonly schema: { readonly allOf: readonly any[] } } };
}

/** Those that `refuses` of #nest has named. */
function codesOf({ content }: Answer): string[] {
  return content?.['application/problem+json']?.schema.allOf[1].properties.code.enum ?? [];
}

const capital = (name: string) => `${name.charAt(0).toUpperCase()}${name.slice(1)}`;

const ifNoneMatch = {
  name: 'If-None-Match',
  in: 'header',
  required: false,
  description: '`ETag` of an earlier answer: if it is still that one, 304 says so.',
  schema: { type: 'string' },
};

const csrf = {
  name: 'Larder-CSRF',
  in: 'header',
  required: false,
  description: '`csrf` of `GET /session`, which a write of a session has to name.',
  schema: { type: 'string' },
};

const keptHeaders = {
  ETag: { description: 'Names this answer for `If-None-Match`', schema: { type: 'string' } },
  'Larder-Cache': {
    description: '`hit` when it is an answer that the gateway had kept, or that another caller has just got',
    schema: { type: 'string', enum: ['hit', 'miss'] },
  },
  Age: { description: 'For how many seconds it was kept, if it was', schema: { type: 'integer' } },
};
