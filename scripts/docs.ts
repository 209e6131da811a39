/**
 * `npm run docs`: generates the parts of the documents that are declared in code.
 *
 *   configuration of the services (zod) ──┬──▶ .env.example
 *   variables of the commands (below) ────┴──▶ docs/operations.md, between two comments
 *   aggregates of the services ──────────────▶ docs/architecture.md, between two comments
 *   messages of the services (zod) ──────────▶ docs/asyncapi.yaml
 *   routes of the services (Nest, zod) ──┬──▶ docs/openapi/<service>.yaml ──▶ libs/client/src/generated/<service>.ts
 *   routes of the gateway ───────────────┴──▶ docs/openapi/gateway.yaml
 *
 * docs.spec.ts fails when one of the files is not up to date.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import openapiTS, { astToString, type OpenAPI3 } from 'openapi-typescript';
import { format, resolveConfig } from 'prettier';
import { stringify } from 'yaml';
import { z } from 'zod';
import { Advice } from './lib/advice.js';
import { asyncApi } from './lib/docs/asyncapi.js';
import { openApi } from './lib/docs/openapi.js';
import { gatewayConfig } from '../apps/gateway/src/definition.js';
import { gatewayDocument } from '../apps/gateway/src/http/document.js';
import type { OpenApi } from '#nest';
import { perService, type Service, services, shop } from '../apps/shop.js';
import { defaultPorts, portVariable } from './lib/addresses.js';

export interface Variable {
  readonly name: string;
  readonly about: string;
  /** The services, or the commands, that read it. */
  readonly readBy: readonly string[];
  /** The default value, if it has one. */
  readonly fallback?: string;
  /** An example value, for a variable that must be set. */
  readonly example?: string;
}

/** The variables that the commands of package.json read, besides those of the services that they start. */
export const commandVariables: readonly Variable[] = [
  ...services.map((service) => ({
    name: `${service.toUpperCase()}_DATABASE_URL`,
    about: `DATABASE_URL of ${service}; default, except for migrate: the shop that is open here`,
    readBy: ['migrate', 'replay', 'reconcile', 'archive'],
    example: `postgresql://user:password@localhost:5432/${service}`,
  })),
  ...services.map((service) => ({
    name: `${service.toUpperCase()}_EVENT_STORE_URL`,
    about: `EVENT_STORE_URL of ${service}; default: EVENT_STORE_URL, if that is KurrentDB's, or else ${service.toUpperCase()}_DATABASE_URL; without these, where the shop that is open here has its events`,
    readBy: ['replay', 'reconcile', 'archive'],
  })),
  {
    name: 'POSTGRES_SUPERUSER_URL',
    about:
      'A superuser, who first creates each database and the role that its URL names; by default they are there already',
    readBy: ['migrate'],
  },
  {
    name: 'TOPIC_REPLICATION_FACTOR',
    about: "The replicas of each Kafka topic at MESSAGE_BUS_URL; default: the broker's own",
    readBy: ['topics'],
  },
  ...[...services, 'postgres' as const].map((name) => ({
    name: portVariable(name),
    about: `The port of ${name === 'postgres' ? 'the embedded Postgres; if it is taken, a free one is used' : name}`,
    readBy: name === 'postgres' ? ['start'] : ['start', 'demo'],
    fallback: `${defaultPorts[name]}`,
  })),
  {
    name: portVariable('gateway'),
    about: 'The port of the gateway, and of the console',
    readBy: ['start'],
    fallback: `${defaultPorts.gateway}`,
  },
  {
    name: portVariable('identity'),
    about: 'The port of the OpenID provider for development, which npm start opens unless AUTH_ISSUER is set',
    readBy: ['start', 'identity'],
    fallback: `${defaultPorts.identity}`,
  },
  {
    name: portVariable('kafka'),
    about: 'The port of the Kafka broker',
    readBy: ['kafka'],
    fallback: `${defaultPorts.kafka}`,
  },
  {
    name: 'LARDER_DATA',
    about: 'The folder with the data of the embedded shop',
    readBy: ['start', 'demo', 'identity', 'kafka', 'replay', 'reconcile', 'archive', 'reset'],
    fallback: '.data',
  },
  {
    name: 'DOCKER_HOST',
    about: 'The Docker engine to use, in the form that Docker itself reads',
    readBy: ['test:compose'],
  },
  { name: 'NO_COLOR', about: 'Turns colours off, whatever its value', readBy: ['start', 'demo'] },
];

/** What reads variables: the services, and the gateway. */
export const configs = { ...perService((service) => shop[service].config), gateway: gatewayConfig };

const applications = Object.keys(configs) as (keyof typeof configs)[];

/** The variables of the services and of the gateway: first those that all services read, then the others. */
export function serviceVariables(): Variable[] {
  const found = new Map<string, Variable>();
  for (const application of applications) {
    for (const variable of variablesOf(configs[application])) {
      const { name, about, fallback } = variable;
      const key = JSON.stringify([name, about, fallback]);
      found.set(key, { ...variable, readBy: [...(found.get(key)?.readBy ?? []), application] });
    }
  }
  const shared = [...found.values()].filter(isShared);
  const own = [...found.values()].filter((each) => !isShared(each));
  return [...shared, ...own];
}

const isShared = ({ readBy }: Variable) => services.every((service) => readBy.includes(service));

function readersOf({ readBy }: Variable): string {
  if (readBy.length === applications.length) return 'all';
  return readBy.length === services.length && !readBy.includes('gateway') ? 'all services' : readBy.join(', ');
}

function variablesOf(config: z.ZodObject): Omit<Variable, 'readBy'>[] {
  const { properties = {}, required = [] } = z.toJSONSchema(config, { io: 'input' });
  return Object.entries(properties).map(([name, schema]) => {
    const { description: about, default: fallback } = schema as z.core.JSONSchema.JSONSchema;
    if (!about)
      throw new Advice(`The variable ${name} has no description: add one to its schema in the service's config.`);
    if (fallback !== undefined) return { name, about, fallback: String(fallback) };
    if (!required.includes(name)) return { name, about };
    const [example] = /\w+:\/\/\S+/.exec(about) ?? [];
    if (!example)
      throw new Advice(
        `The variable ${name} must be set, so its description needs an example URL: add one to its schema.`,
      );
    return { name, about, example };
  });
}

/** The text of each generated file, by its path. */
export async function documents(): Promise<ReadonlyMap<string, string>> {
  return new Map([
    ['.env.example', envExample()],
    ['docs/operations.md', await formatText('docs/operations.md', operations())],
    ['docs/architecture.md', await formatText('docs/architecture.md', architecture())],
    ['docs/asyncapi.yaml', await formatText('docs/asyncapi.yaml', asyncApiYaml())],
    ...(await httpApis()),
  ]);
}

export const usage = 'npm run docs. It writes what is generated of docs/, of libs/client/ and .env.example.';

export async function main(): Promise<void> {
  for (const [path, text] of await documents()) {
    const current = existsSync(path) ? readFileSync(path, 'utf8') : undefined;
    if (current !== text) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
    console.log(`${path} ${current === text ? 'is up to date' : 'was written'}`);
  }
}

/** Formats a text as `npm run check` expects it. */
async function formatText(path: string, text: string): Promise<string> {
  return format(text, { ...(await resolveConfig(path)), filepath: path });
}

function asyncApiYaml(): string {
  return `# \`npm run docs\` generates this file from libs/contracts.\n\n${yaml(asyncApi())}`;
}

/** The OpenAPI documents of the services, the types that libs/client generates from them, and the gateway's, which has all. */
async function httpApis(): Promise<[path: string, text: string][]> {
  const documents = await Promise.all(services.map(async (service) => [service, await openApi(service)] as const));
  const files = documents.map(([service, document]) => [
    openApiFile(service, `apps/${service}`, document),
    typesOf(service, document),
  ]);
  const gateway = gatewayDocument(Object.fromEntries(documents));
  return Promise.all([
    ...files.flat(),
    openApiFile('gateway', 'apps/gateway and the documents of the services', gateway),
  ]);
}

async function openApiFile(name: string, source: string, document: OpenApi): Promise<[path: string, text: string]> {
  const path = `docs/openapi/${name}.yaml`;
  return [path, await formatText(path, `# \`npm run docs\` generates this file from ${source}.\n\n${yaml(document)}`)];
}

async function typesOf(service: Service, document: OpenApi): Promise<[path: string, text: string]> {
  const path = `libs/client/src/generated/${service}.ts`;
  const marker = 'Code generated by npm run docs. DO NOT EDIT.';
  const ast = await openapiTS(customerRoutes(document as unknown as OpenAPI3));
  const text = `// ${marker}\n// From docs/openapi/${service}.yaml.\n\n${astToString(ast)}`;
  return [path, await formatText(path, text)];
}

/** The routes that a client calls; those of operators, of the provider and of the simulator are left out. */
function customerRoutes({ paths, ...document }: OpenAPI3): OpenAPI3 {
  const called = Object.entries(paths ?? {}).filter(([path]) => !/^\/(admin|webhooks|simulator)\//.test(path));
  return { ...document, paths: Object.fromEntries(called) };
}

function yaml(document: object): string {
  return stringify(document, {
    aliasDuplicateObjects: false,
    compat: 'yaml-1.1', // Older YAML parsers read an unquoted time as something other than a string.
    lineWidth: 0,
  });
}

function envExample(): string {
  const sections: [title: string, variables: readonly Variable[]][] = [
    ['Every service', serviceVariables().filter(isShared)],
    ...applications.map((application): [string, Variable[]] => [
      application === 'gateway' ? 'The gateway' : `The ${application} service`,
      serviceVariables().filter((variable) => !isShared(variable) && variable.readBy.includes(application)),
    ]),
    ['Commands', commandVariables],
  ];
  const text = sections.map(
    ([title, variables]) => `# --- ${title} ---\n\n${variables.map((each) => lineOfEnv(each)).join('\n')}`,
  );
  return `${ENV_HEADER}\n${text.join('\n')}`;
}

const ENV_HEADER = `\
# Every variable of Larder, with its default. \`npm run docs\` generates this file; see docs/operations.md.
#
# With servers of your own, each application has a file: copy this one to ${applications.map((name) => `${name}.env`).join(', ')}, set the
# addresses of its servers, and start it with
#
#   node --env-file=order.env dist/apps/order/src/main.js
#
# The commands have a file too: node --env-file=commands.env scripts/run.mjs migrate
#
# A variable in the environment overrides the file, and an empty variable counts as not set.
`;

/** A variable with a default is commented out. */
function lineOfEnv(variable: Variable): string {
  const { name, about, fallback, example } = variable;
  const commands = commandVariables.includes(variable) ? ` (${commandsOf(variable)})` : '';
  return `# ${about}${commands}\n${example === undefined ? '# ' : ''}${name}=${example ?? fallback ?? ''}\n`;
}

const commandsOf = ({ readBy }: Variable) =>
  readBy.map((command) => `npm ${command === 'start' ? '' : 'run '}${command}`).join(', ');

const BEGIN = '<!-- variables: `npm run docs` generates the text between these comments -->';
const END = '<!-- end of variables -->';

/**
 * What a document says before the comment `begin`, and from the comment `end` on.
 * @throws Advice when it lacks them; `what` stands between the two
 */
function splitAround(path: string, begin: string, end: string, what: string): { before: string; after: string } {
  const text = readFileSync(path, 'utf8');
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from)
    throw new Advice(`${path} lacks the comments ${begin} and ${end}: put them around ${what}.`);
  return { before: text.slice(0, from), after: text.slice(to) };
}

/** docs/operations.md with its tables generated again; the rest of it is written by hand. */
function operations(): string {
  const { before, after } = splitAround('docs/operations.md', BEGIN, END, 'the tables of variables');
  const tables = [
    table('read by', serviceVariables(), readersOf),
    'Besides these, the commands read:',
    table('command', commandVariables, (variable) => `\`${commandsOf(variable).replaceAll(', ', '`, `')}\``),
  ];
  const rest = after.replace(/(?:^-- \w+: +TRUNCATE .*;\n)+/m, emptyReadModels);
  return `${before}${BEGIN}\n\n${tables.join('\n\n')}\n\n${rest}`;
}

const BEGIN_STREAMS = '<!-- streams: `npm run docs` generates the text between these comments -->';
const END_STREAMS = '<!-- end of streams -->';

/** docs/architecture.md with its table of streams generated again. */
function architecture(): string {
  const { before, after } = splitAround('docs/architecture.md', BEGIN_STREAMS, END_STREAMS, 'the table of streams');
  const rows = services.flatMap((service) =>
    Object.keys(shop[service].aggregates).map(
      (category) => `| \`${category}-<id>\` | ${eventsOf(service, category)} |`,
    ),
  );
  const lines = ['| stream | events |', '| --- | --- |', ...rows];
  return `${before}${BEGIN_STREAMS}\n\n${lines.join('\n')}\n\n${after}`;
}

/** The events of an aggregate: those that its file in domain/ declares, in the order of upcasters.ts. */
function eventsOf(service: Service, category: string): string {
  const path = `apps/${service}/src/domain/${category}.ts`;
  if (!existsSync(path))
    throw new Advice(`The aggregate ${category} of ${service} has no file ${path}: name both alike.`);
  const declared = [...readFileSync(path, 'utf8').matchAll(/\btype: '(\w+)';\s+data:/g)].map(([, type]) => type!);
  return Object.keys(shop[service].upcasters)
    .filter((type) => declared.includes(type))
    .join(', ');
}

/** Comments of SQL: how all read models of a service are emptied. */
function emptyReadModels(): string {
  const lines = services.map((service) => {
    const tables = shop[service].projections.map(({ table }) => table);
    return `-- ${`${service}:`.padEnd(11)} TRUNCATE ${tables.join(', ')};\n`;
  });
  return lines.join('');
}

function table(readers: string, variables: readonly Variable[], readBy: (variable: Variable) => string): string {
  const rows = variables.map((variable) => {
    const { name, about, fallback, example } = variable;
    const otherwise = example !== undefined ? '_must be set_' : fallback === undefined ? '' : `\`${fallback}\``;
    return [`\`${name}\``, readBy(variable), about.replaceAll('|', '\\|'), otherwise];
  });
  const head = ['variable', readers, 'what it is for', 'default'];
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
