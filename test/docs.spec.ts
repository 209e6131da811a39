/** The documents agree with the code that they speak of. `npm run docs` writes what is generated of them. */
import { Parser } from '@asyncapi/parser';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { parse } from 'yaml';
import { recordOf } from '../libs/message-bus/src/kafka/record.js';
import { PARTITIONS, parseMessage } from '#message-bus';
import { type Topic, topics } from '#contracts';
import { loadConfig } from '#service';
import { commandVariables, configs, documents, serviceVariables } from '../scripts/docs.js';
import { services, shop } from '../apps/shop.js';
import { labs } from '../labs/catalogue.js';
import { portOf, portVariable } from '../scripts/lib/addresses.js';

/** Codes of refusals, where they are made. */
const THROWN = /\b(?:new (?:Conflict|NotFound|DomainError|Problem)|tryAgain)\(\s*(?:\d{3},\s*)?'([a-z-]+)'/g;

/** Refusals of deciders that no request leads to: the schemas, or the other deciders, see to it. */
const INTERNAL: readonly string[] = [
  'invalid-quantity',
  'no-lines',
  'invalid-amount',
  'nothing-reserved',
  'not-reserved',
  'out-of-stock',
  'not-shipped',
  'already-captured',
  'not-authorized',
];

/** Of routes that are there with TROUBLE alone: the documents are of a shop without it. */
const WITH_TROUBLE = 'trouble-not-found';

const textOf = (path: string) => readFileSync(path, 'utf8');
const generated = await documents();

test.each([...generated.keys()])('%s is up to date with the code (`npm run docs`)', (path) => {
  expect(textOf(path), 'It is out of date: run `npm run docs`.').toBe(generated.get(path));
});

describe('.env.example', () => {
  /** The variables that Node reads from a file, and no others. */
  function variablesIn(text: string): NodeJS.ProcessEnv {
    const folder = mkdtempSync(join(tmpdir(), 'larder-env-'));
    writeFileSync(join(folder, 'env'), text);
    const program = [`--env-file=${join(folder, 'env')}`, '-p', 'JSON.stringify(process.env)'];
    const { stdout, stderr } = spawnSync(process.execPath, program, { env: {}, encoding: 'utf8' });
    rmSync(folder, { recursive: true });
    if (!stdout) throw new Error(stderr);
    return JSON.parse(stdout);
  }

  test.each([...services, 'gateway'] as const)(
    'configures %s as it is, and shows the defaults in comments',
    (service) => {
      const text = textOf('.env.example');
      const asItStands = loadConfig(configs[service], variablesIn(text));
      expect(asItStands).toMatchObject({ AUTH_ISSUER: expect.stringMatching(/^https?:/) });

      // PORT has a default in each service: the part about the others is left out.
      const titleOf = (part: string) => part.split('\n', 1)[0]!;
      const parts = text
        .split(/^(?=# --- )/m)
        .filter((part) => !part.startsWith('# --- The') || titleOf(part).includes(service));
      const uncommented = parts.join('').replace(/^# ([A-Z][A-Z_]+=)/gm, '$1');
      expect(loadConfig(configs[service], variablesIn(uncommented))).toEqual(asItStands);
    },
  );

  test('lists every variable that a script reads', () => {
    const files = readdirSync('scripts', { recursive: true, encoding: 'utf8' });
    const sources = files.filter((name) => name.endsWith('.ts') && !name.endsWith('.spec.ts'));
    const code = sources.map((name) => textOf(join('scripts', name))).join('\n');
    const named = [
      ...[...code.matchAll(/\benv(?:\.|\[')([A-Z][A-Z_]+)/g)].map(([, name]) => name!),
      ...[...code.matchAll(/\{([^{}]*)\} = (?:process\.)?env\b/g)].flatMap(([, names]) =>
        names!.match(/\b[A-Z][A-Z_]+\b/g)!,
      ),
    ];
    const perService = [...code.matchAll(/`\$\{service\.toUpperCase\(\)\}_([A-Z_]+)`/g)].flatMap(([, end]) =>
      services.map((service) => `${service.toUpperCase()}_${end}`),
    );
    const known = [...serviceVariables(), ...commandVariables].map(({ name }) => name);
    expect(named).toContain('LARDER_DATA');
    expect(perService).toContain('PAYMENT_DATABASE_URL');
    const ofTheSystem = ['PATH'];
    expect([...named, ...perService].filter((name) => ![...known, ...ofTheSystem].includes(name))).toEqual([]);
  });
});

test('the documented ports of `npm start` are those of its script', () => {
  const documented = services.map((service) => commandVariables.find(({ name }) => name === portVariable(service)));
  services.forEach((service) => vi.stubEnv(portVariable(service), undefined));
  expect(documented.map((variable) => Number(variable?.fallback))).toEqual(services.map(portOf));
  vi.unstubAllEnvs();
});

test('the image is built from everything that the build compiles, without the proofs and labs', () => {
  const { include } = JSON.parse(textOf('tsconfig.build.json')) as { include: string[] };
  const copied = textOf('.dockerignore').split('\n');
  expect(include.filter((folder) => !copied.includes(`!${folder}`))).toEqual(['proof', 'labs']);
});

test.each([...services, 'gateway'])('docs/openapi/%s.yaml names each operation once, and no class', (service) => {
  const { paths } = parse(textOf(`docs/openapi/${service}.yaml`)) as { paths: Record<string, object> };
  const ids = Object.values(paths).flatMap((path) => Object.values<any>(path).map(({ operationId }) => operationId));
  expect(ids.length).toBeGreaterThan(5);
  expect(ids).toEqual([...new Set(ids)]);
  for (const id of ids) expect(id).toMatch(/^(?!.*controller)[a-z][a-zA-Z]+$/i);
});

/** The codes of refusals in a folder. */
const codesIn = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => /(?<!\.spec)\.ts$/.test(name))
    .flatMap((name) => [...textOf(join(folder, name)).matchAll(THROWN)].map(([, code]) => code!));

const names = (document: string, code: string) => new RegExp(`[- \`]${code}\\b`).test(document);

describe('docs/openapi/gateway.yaml', () => {
  const text = textOf('docs/openapi/gateway.yaml');

  test('names every code with which the gateway, a service or HTTP refuses', () => {
    const own = codesIn('apps/gateway/src');
    expect(own).toContain('session-ended');
    const ofServices = services.flatMap((service) =>
      textOf(`docs/openapi/${service}.yaml`).match(/(?<=^ +- )[a-z]+(-[a-z]+)+$/gm)!,
    );
    expect(ofServices).toContain('order-not-found');
    expect([...own, ...ofServices].filter((code) => !names(text, code))).toEqual([]);
  });

  test('refers to nothing that it does not have', () => {
    const { components } = parse(text);
    const found = [...text.matchAll(/#\/components\/(\w+)\/(\w+)/g)];
    expect(found.length).toBeGreaterThan(50);
    expect(found.filter(([, kind, name]) => components[kind!]?.[name!] === undefined)).toEqual([]);
  });
});

describe.each(services)('docs/openapi/%s.yaml', (service) => {
  const text = textOf(`docs/openapi/${service}.yaml`);

  test('names every code with which the service, or HTTP, refuses', () => {
    const documents = services.map((each) => textOf(`docs/openapi/${each}.yaml`));
    const common = [...codesIn('libs/nest/src'), ...codesIn('libs/service/src')];
    expect(common).toContain('invalid-request');
    const missing = new Set([
      ...codesIn(`apps/${service}/src`).filter((code) => !names(text, code)),
      ...common.filter((code) => !documents.some((document) => names(document, code))),
    ]);
    expect([...missing].filter((code) => !INTERNAL.includes(code) && code !== WITH_TROUBLE)).toEqual([]);
  });

  test('has for every operation what any route may refuse', () => {
    const { paths } = parse(text) as { paths: Record<string, Record<string, any>> };
    for (const [path, operations] of Object.entries(paths)) {
      for (const [method, { responses, requestBody }] of Object.entries(operations)) {
        const codes = (status: number) =>
          responses[status]?.content['application/problem+json'].schema.allOf[1].properties.code.enum ?? [];
        expect([path, method, codes(422)]).toEqual([path, method, expect.arrayContaining(['invalid-request'])]);
        expect([path, method, codes(503)]).toEqual([path, method, expect.arrayContaining(['unavailable'])]);
        if (requestBody) expect(codes(400)).toContain('malformed-json');
      }
    }
  });
});

describe('docs/asyncapi.yaml', () => {
  const text = textOf('docs/asyncapi.yaml');

  test("passes AsyncAPI's own parser", async () => {
    const { document, diagnostics } = await new Parser().parse(text);
    // Of 3.1, which is newer, nothing is needed here, and fewer tools read it.
    expect(diagnostics.filter(({ code }) => code !== 'asyncapi-latest-version')).toEqual([]);
    const operations = document!.operations().all();
    expect(operations.filter((each) => each.isSend()).map((each) => each.channels().all()[0]!.address())).toEqual(
      topics.map(({ name }) => name),
    );
  });

  test('lists every message of every topic, sent by the service that is its source, which does not receive it', () => {
    const { channels, operations } = parse(text);
    for (const topic of topics as readonly Topic<any>[]) {
      const [id, channel] = Object.entries<any>(channels).find(([, { address }]) => address === topic.name)!;
      const all = Object.keys(topic.schemas);
      expect(Object.keys(channel.messages)).toEqual(all);
      const uses = Object.values<any>(operations).filter((each) => each.channel.$ref === `#/channels/${id}`);
      const senders = uses.filter(({ action }) => action === 'send');
      expect(senders.map(({ tags }) => `/${tags[0].name}`)).toEqual([topic.source]);
      const receivers = uses.filter(({ action }) => action === 'receive').map(({ tags }) => `/${tags[0].name}`);
      expect(receivers).not.toContain(topic.source);
    }
  });

  test('describes records and topics as the Kafka adapter creates them', () => {
    const { channels, components } = parse(text);
    const { required, properties } = components.messageTraits.cloudEvent.headers;
    const message = { id: 'i', type: 't', source: 's', time: 'z', key: 'k', data: {}, correlationId: 'c' };
    expect(Object.keys(recordOf(message).headers!)).toEqual(required);
    expect(Object.keys(recordOf({ ...message, traceparent: 'p' }).headers!)).toEqual(Object.keys(properties));
    for (const { bindings } of Object.values<any>(channels)) expect(bindings.kafka.partitions).toBe(PARTITIONS);
  });

  test('gives only examples that keep the contract', () => {
    for (const topic of topics as readonly Topic<any>[]) {
      const channel = Object.values<any>(parse(text).channels).find(({ address }) => address === topic.name);
      for (const [type, { examples }] of Object.entries<any>(channel.messages)) {
        expect(parseMessage(topic, { type, data: examples[0].payload })).toEqual({ type, data: examples[0].payload });
      }
    }
  });
});

describe('docs/architecture.md', () => {
  const text = textOf('docs/architecture.md');

  test('the table of streams names every event, and no other', () => {
    const named = [...text.matchAll(/^\| `[a-z]+-<\w+>` +\| (.*) \|$/gm)].flatMap(([, events]) =>
      events!.match(/\b[A-Z][a-z]+[A-Z]\w+/g)!.filter((word) => word !== 'Idempotency'),
    );
    const stored = services.flatMap((service) => Object.keys(shop[service].upcasters));
    expect([...named].sort()).toEqual([...stored].sort());
  });

  test('the picture of the folders is the tree', () => {
    const [, picture] = /^## The folders\n+```\n([^]*?)```/m.exec(text)!;
    const drawn: string[] = [];
    let parents: string[] = [];
    for (const line of picture!.split('\n')) {
      const [, indent, name] = /^( *)([\w.<>/-]+\/)(?: |$)/.exec(line) ?? [];
      if (name === undefined) continue;
      parents = [...parents.slice(0, indent!.length / 2), name];
      drawn.push(parents.join('').slice(0, -1));
    }
    const { stdout } = spawnSync('git', ['ls-files'], { encoding: 'utf8' });
    const folders = new Set(
      stdout
        .split('\n')
        .filter((file) => existsSync(file))
        .flatMap((file) => file.split('/').map((_, i, parts) => parts.slice(0, i).join('/')))
        .filter((folder) => folder !== ''),
    );
    const real = (path: string) => services.map((service) => path.replace('<service>', service));
    expect(drawn.filter((path) => !real(path).some((each) => folders.has(each)))).toEqual([]);

    const shown = new Set(drawn.flatMap(real));
    const wanted = [...folders].filter((folder) =>
      /^([^/]+|(libs|proof|prisma)\/[^/]+|apps\/[^/]+\/src\/[^/]+|scripts\/lib|test\/[^/]+)$/.test(folder),
    );
    expect(wanted.filter((folder) => !shown.has(folder))).toEqual([]);
  });
});

describe('docs/operations.md', () => {
  const text = textOf('docs/operations.md');

  test('names every metric of the services, and none that does not exist', () => {
    const sources = ['libs', 'apps'].flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
    );
    const code = sources.filter((name) => /(?<!\.spec)\.ts$/.test(name)).map(textOf);
    const names = (from: string) => new Set(from.match(/\blarder_[a-z_]+\b/g));
    const existing = new Set(code.flatMap((each) => each.match(/(?<=')larder_[a-z_]+(?=')/g) ?? []));
    expect([...names(text)].sort()).toEqual([...existing].sort());
  });

  test.each(services)('empties every read model of %s', (service) => {
    expect(text).toMatch(
      new RegExp(`^-- ${service}: +TRUNCATE ${shop[service].projections.map(({ table }) => table).join(', ')};$`, 'm'),
    );
  });
});

describe.each([
  ['docs/guarantees.md', 30],
  ['docs/consistency.md', 10],
  ['docs/threat-model.md', 15],
])('%s', (document, least) => {
  const proofs = [...textOf(document).matchAll(/\[([^\]]+)\]\(\.\.\/([^)]+)\)/g)].map(
    ([, named, file]) => [named!, file!] as const,
  );

  test('links to proofs', () => expect(proofs.length).toBeGreaterThan(least));

  test.each(proofs)('“%s” exists in %s', (named, file) => {
    // A link may name the whole file; otherwise the words of a test, or of a rule, as they stand there.
    if (named !== file) expect(textOf(file)).toContain(named);
    else expect(existsSync(file)).toBe(true);
  });

  test('names only commands that exist', () => {
    const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };
    const named = [...textOf(document).matchAll(/`npm run ([a-z:]+)/g)].map(([, name]) => name!);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });
});

test('every link between the documents has a target', () => {
  const documents = [
    'README.md',
    'CONTRIBUTING.md',
    'AGENTS.md',
    'SECURITY.md',
    ...readdirSync('docs', { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md'))
      .map((name) => join('docs', name)),
    ...labs.map(({ name }) => `labs/${name}/README.md`),
  ];
  const links = documents.flatMap((document) => linksIn(prose(document)).map((link) => ({ document, link })));
  expect(links.length).toBeGreaterThan(20);
  expect(links.filter(({ document, link }) => !leadsSomewhere(document, link))).toEqual([]);
});

/** A document without its code, which may look like anything. */
const prose = (document: string) => textOf(document).replace(/^```[^]*?^ *```/gm, '');

/** Relative links; those to other sites are not asked for. */
function linksIn(text: string): string[] {
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!).filter((link) => !/^[a-z]+:/.test(link));
}

function leadsSomewhere(document: string, link: string): boolean {
  const [path, anchor] = link.split('#', 2);
  const target = path ? join(dirname(document), path) : document;
  if (!existsSync(target)) return false;
  return anchor === undefined || (statSync(target).isFile() && anchorsOf(target).includes(anchor));
}

/** The anchors that GitHub gives to headings: lower case, hyphens for spaces, no punctuation. */
function anchorsOf(document: string): string[] {
  return [...prose(document).matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
