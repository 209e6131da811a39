/**
 * `npm run docs`: writes what stands in several documents from the one place where it is declared.
 *
 *   configuration of the services (zod) ──┬──▶ .env.example
 *   what the commands read (below) ───────┴──▶ docs/operations.md, between two comments
 *   messages of the services (zod) ──────────▶ docs/asyncapi.yaml
 *   routes of the services (Nest, zod) ──────▶ docs/openapi/<service>.yaml ──▶ libs/client/src/generated/<service>.ts
 *
 * docs.spec.ts fails when one of the files is not what this makes.
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
import { type Service, services, shop } from '../apps/shop.js';
import { defaultPorts, portVariable } from './lib/addresses.js';

export interface Variable {
  readonly name: string;
  readonly about: string;
  /** The services, or the commands, that read it. */
  readonly readBy: readonly string[];
  /** What holds when it is not set, where that is a value. */
  readonly fallback?: string;
  /** A value to begin with, for one that has to be set. */
  readonly example?: string;
}

/** What the commands of package.json read, beside the variables of the services that they start. */
export const commandVariables: readonly Variable[] = [
  ...services.map((service) => ({
    name: `${service.toUpperCase()}_DATABASE_URL`,
    about: `DATABASE_URL of ${service}; without it, all but migrate take the shop that is open here`,
    readBy: ['migrate', 'replay', 'reconcile', 'archive'],
    example: `postgresql://user:password@localhost:5432/${service}`,
  })),
  ...services.map((service) => ({
    name: `${service.toUpperCase()}_EVENT_STORE_URL`,
    about: `EVENT_STORE_URL of ${service}; ${service.toUpperCase()}_DATABASE_URL unless told`,
    readBy: ['replay', 'reconcile', 'archive'],
  })),
  {
    name: 'TOPIC_REPLICATION_FACTOR',
    about: "The replicas of each Kafka topic at MESSAGE_BUS_URL; the broker's own default unless told",
    readBy: ['topics'],
  },
  ...[...services, 'postgres' as const].map((name) => ({
    name: portVariable(name),
    about: `The port of ${name === 'postgres' ? 'the embedded Postgres; a free one when it is taken' : name}`,
    readBy: name === 'postgres' ? ['start'] : ['start', 'demo'],
    fallback: `${defaultPorts[name]}`,
  })),
  {
    name: portVariable('kafka'),
    about: 'The port of the broker that it starts',
    readBy: ['kafka'],
    fallback: `${defaultPorts.kafka}`,
  },
  {
    name: 'LARDER_DATA',
    about: 'The folder that holds what the embedded shop keeps',
    readBy: ['start', 'kafka', 'replay', 'reconcile', 'archive', 'reset'],
    fallback: '.data',
  },
  { name: 'DOCKER_HOST', about: 'The Docker engine to use, as Docker itself reads it', readBy: ['test:compose'] },
  { name: 'NO_COLOR', about: 'Set to anything, it keeps colours out of the output', readBy: ['start', 'demo'] },
];

/** The variables of the services: those that all of them read, and then each service's own. */
export function serviceVariables(): Variable[] {
  const found = new Map<string, Variable>();
  for (const service of services) {
    for (const variable of variablesOf(shop[service].config)) {
      const { name, about, fallback } = variable;
      const key = JSON.stringify([name, about, fallback]);
      found.set(key, { ...variable, readBy: [...(found.get(key)?.readBy ?? []), service] });
    }
  }
  const [shared, own] = [[...found.values()].filter(isShared), [...found.values()].filter((each) => !isShared(each))];
  return [...shared, ...own];
}

const isShared = ({ readBy }: Variable) => readBy.length === services.length;

function variablesOf(config: z.ZodObject): Omit<Variable, 'readBy'>[] {
  const { properties = {}, required = [] } = z.toJSONSchema(config, { io: 'input' });
  return Object.entries(properties).map(([name, schema]) => {
    const { description: about, default: fallback } = schema as z.core.JSONSchema.JSONSchema;
    if (!about) throw new Advice(`${name} does not say what it is for: give it a description.`);
    if (fallback !== undefined) return { name, about, fallback: String(fallback) };
    if (!required.includes(name)) return { name, about };
    const [example] = /\w+:\/\/\S+/.exec(about) ?? [];
    if (!example) throw new Advice(`${name} has to be set: give an example in its description.`);
    return { name, about, example };
  });
}

/** What each generated file has to hold, by its path. */
export async function documents(): Promise<ReadonlyMap<string, string>> {
  return new Map([
    ['.env.example', envExample()],
    ['docs/operations.md', await formatted('docs/operations.md', operations())],
    ['docs/asyncapi.yaml', await formatted('docs/asyncapi.yaml', asyncApiYaml())],
    ...(await Promise.all(services.map(httpApi))).flat(),
  ]);
}

export async function main(): Promise<void> {
  for (const [path, text] of await documents()) {
    const current = existsSync(path) ? readFileSync(path, 'utf8') : undefined;
    if (current !== text) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
    console.log(`${path} ${current === text ? 'is up to date' : 'is written'}`);
  }
}

/** As `npm run check` wants it. */
async function formatted(path: string, text: string): Promise<string> {
  return format(text, { ...(await resolveConfig(path)), filepath: path });
}

function asyncApiYaml(): string {
  return `# \`npm run docs\` makes this file from libs/contracts.\n\n${yaml(asyncApi())}`;
}

/** The OpenAPI document of a service, and the types that libs/client has of it. */
async function httpApi(service: Service): Promise<[path: string, text: string][]> {
  const document = await openApi(service);
  const [path, types] = [`docs/openapi/${service}.yaml`, `libs/client/src/generated/${service}.ts`];
  const head = `\`npm run docs\` makes this file from`;
  return [
    [path, await formatted(path, `# ${head} apps/${service}.\n\n${yaml(document)}`)],
    [types, await formatted(types, `// ${head} ${path}.\n\n${astToString(await openapiTS(document as OpenAPI3))}`)],
  ];
}

function yaml(document: object): string {
  return stringify(document, {
    aliasDuplicateObjects: false,
    compat: 'yaml-1.1', // Older readers take a time without quotes for more than a string.
    lineWidth: 0,
  });
}

function envExample(): string {
  const sections: [title: string, variables: readonly Variable[]][] = [
    ['Every service', serviceVariables().filter(isShared)],
    ...services.map((service): [string, Variable[]] => [
      `The ${service} service`,
      serviceVariables().filter((variable) => !isShared(variable) && variable.readBy.includes(service)),
    ]),
    ['Commands', commandVariables],
  ];
  const text = sections.map(
    ([title, variables]) => `# --- ${title} ---\n\n${variables.map((each) => lineOfEnv(each)).join('\n')}`,
  );
  return `${ENV_HEADER}\n${text.join('\n')}`;
}

const ENV_HEADER = `\
# Every variable of Larder, with its default. \`npm run docs\` makes this file; docs/operations.md says more.
#
# For servers of your own, each service has a file: copy this one to order.env, inventory.env and payment.env, set the
# addresses of that service's servers, and start it with
#
#   node --env-file=order.env dist/apps/order/src/main.js
#
# The commands have one too: node --env-file=commands.env scripts/run.mjs migrate
#
# What the environment says wins over the file, and an empty variable counts as not set.
`;

/** A variable with a default is commented out. */
function lineOfEnv(variable: Variable): string {
  const { name, about, fallback, example } = variable;
  const commands = commandVariables.includes(variable) ? ` (${commandsOf(variable)})` : '';
  return `# ${about}${commands}\n${example === undefined ? '# ' : ''}${name}=${example ?? fallback ?? ''}\n`;
}

const commandsOf = ({ readBy }: Variable) =>
  readBy.map((command) => `npm ${command === 'start' ? '' : 'run '}${command}`).join(', ');

const BEGIN = '<!-- variables: `npm run docs` makes what stands between these comments -->';
const END = '<!-- end of variables -->';

/** docs/operations.md with its tables made anew; the rest of it is written by hand. */
function operations(): string {
  const text = readFileSync('docs/operations.md', 'utf8');
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Advice(`docs/operations.md has lost the comments ${BEGIN} and ${END}.`);
  const tables = [
    table('service', serviceVariables(), (variable) => (isShared(variable) ? 'all' : variable.readBy.join(', '))),
    'The commands read, beside these:',
    table('command', commandVariables, (variable) => `\`${commandsOf(variable).replaceAll(', ', '`, `')}\``),
  ];
  const rest = text.slice(end).replace(/(?:^-- \w+: +TRUNCATE .*;\n)+/m, emptyReadModels);
  return `${text.slice(0, begin)}${BEGIN}\n\n${tables.join('\n\n')}\n\n${rest}`;
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
