/** What the folders of a service hold, its definition names; what each service needs outside of them is there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { gatewayConfig } from '../apps/gateway/src/definition.js';
import { type Service, services, shop } from '../apps/shop.js';
import { topics } from '#contracts';
import { loadConfig } from '#service';
import { freshDatabase } from './support/database.js';
import { goldenEvents, versionsIn, versionsOf } from './support/golden.js';

const textOf = (path: string) => readFileSync(path, 'utf8');

/** The modules of a layer of a service, specs left out. */
const modulesIn = (folder: string) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.spec.ts'))
    .map((name) => `${folder}/${name}`);

/** The values with these keys that the modules of a layer export. */
async function exportedFrom(folder: string, ...keys: string[]): Promise<object[]> {
  const modules = await Promise.all(modulesIn(folder).map((path) => import(/* @vite-ignore */ resolve(path))));
  const values = modules.flatMap((module) => Object.values<unknown>(module));
  const objects = values.filter((value): value is object => typeof value === 'object' && value !== null);
  return objects.filter((value) => keys.every((key) => key in value));
}

/** The golden files of a service, lifted to their current shapes. */
const goldenOf = (service: Service) =>
  goldenEvents(pathToFileURL(`${resolve(`apps/${service}/src/golden`)}/`), shop[service].upcasters);

describe.each(services)('%s', (service) => {
  const { name, port, aggregates, upcasters, publishes, ignores, reactionTo, projections } = shop[service];
  const folder = `apps/${service}/src`;

  test('every decider in domain/ is among the aggregates of definition.ts', async () => {
    const deciders = await exportedFrom(`${folder}/domain`, 'initialState', 'decide', 'evolve');
    expect(new Set<object>(Object.values(aggregates))).toEqual(new Set(deciders));
  });

  test('every projection in read-models/ is in definition.ts', async () => {
    const written = await exportedFrom(`${folder}/read-models`, 'table', 'apply');
    expect(new Set<object>(projections)).toEqual(new Set(written));
  });

  test('a projection with a row per stream gives all events of a stream one key, and each stream another', async () => {
    const golden = Object.values(await goldenOf(service));
    for (const projection of projections.filter(({ rowPerStream }) => rowPerStream)) {
      expect(projection.categories, projection.name).toHaveLength(1);
      const keysAt = (id: string) => {
        const place = {
          stream: `${projection.categories[0]}-${id}`,
          revision: 0,
          recordedAt: '2027-01-01T00:00:00.000Z',
        };
        const keys = golden.map((event) => projection.key({ ...event, ...place }));
        return new Set(keys.filter((key) => key !== undefined).map((key) => JSON.stringify(key)));
      };
      const [one, other] = [keysAt('a'), keysAt('b')];
      expect([one.size, other.size], projection.name).toEqual([1, 1]);
      expect(one, projection.name).not.toEqual(other);
    }
  });

  test('what it ignores is published, and leads to no command', async () => {
    const published = await Promise.all(
      services.map(async (other) => {
        const { messageOf } = shop[other];
        return Object.values(await goldenOf(other)).flatMap(
          (event) => messageOf('0190a8c0-0000-7000-8000-000000000001', event) ?? [],
        );
      }),
    );
    for (const ignored of ignores) {
      const messages = published.flat().filter(({ type }) => type === ignored);
      expect(messages, ignored).not.toEqual([]);
      expect(
        messages.map((message) => reactionTo(message)),
        ignored,
      ).toEqual(messages.map(() => undefined));
    }
  });

  test('every event in domain/ has its line in upcasters.ts, and a golden file', () => {
    const code = modulesIn(`${folder}/domain`).map(textOf).join('\n');
    const events = [...code.matchAll(/\btype: '(\w+)';\s+data:/g)].map(([, type]) => type!);
    expect(Object.keys(upcasters).sort()).toEqual([...new Set(events)].sort());
    const golden = readdirSync(`${folder}/golden`).map((file) => file.replace(/\..*/, ''));
    expect([...new Set(golden)].sort()).toEqual(Object.keys(upcasters).sort());
  });

  test('every event has a golden file for each version of its shape, and no file is left over', async () => {
    const golden = await goldenOf(service);
    expect(versionsIn(golden)).toEqual(versionsOf(upcasters));
  });

  test('every event is named for its aggregate, whose spec compares what it emits with the golden files', () => {
    const named = Object.keys(aggregates).map((aggregate) => aggregate[0]!.toUpperCase() + aggregate.slice(1));
    const nameless = Object.keys(upcasters).filter((type) => !named.some((name) => type.startsWith(name)));
    expect(nameless).toEqual([]);
    const compares = (aggregate: string) =>
      textOf(`${folder}/domain/${aggregate}.spec.ts`).includes(`goldenShapes('${aggregate}', `);
    expect(Object.keys(aggregates).filter((aggregate) => !compares(aggregate))).toEqual([]);
  });

  test('its folder, its topic and its source are named for it, and its port is its own', () => {
    expect(name).toBe(service);
    expect(publishes).toMatchObject({ name: `${service}.events.v1`, source: `/${service}` });
    expect(topics).toContain(publishes);
    expect(services.filter((other) => shop[other].port === port)).toEqual([service]);
  });

  test('its tables have the columns of schema.prisma, and the keys of its projections', async () => {
    const client = new pg.Client({ connectionString: await freshDatabase(service) });
    await client.connect();
    try {
      const { rows: columns } = await client.query(
        `SELECT table_name AS table, array_agg(column_name::text ORDER BY column_name) AS columns
         FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name <> '_prisma_migrations' GROUP BY table_name ORDER BY table_name`,
      );
      expect(columns).toEqual(modelsOf(textOf(`prisma/${service}/schema.prisma`)));
      for (const { table, keyColumns } of projections) {
        const { rows: keys } = await client.query<{ key: string }>(
          `SELECT attname::text AS key FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
           WHERE indisprimary AND indrelid = $1::regclass`,
          [table],
        );
        expect(keys.map(({ key }) => key).sort()).toEqual([...keyColumns].sort());
      }
    } finally {
      await client.end();
    }
  });

  test('a secret has no default, or one that is good on loopback alone', () => {
    const { config, publicDefaults } = shop[service];
    const withDefault = Object.entries(config.shape)
      .filter(([variable, type]) => /SECRET|KEY/.test(variable) && type.safeParse(undefined).success)
      .map(([variable]) => variable);
    expect(publicDefaults).toEqual(withDefault);
  });

  test('docker-compose.yml migrates, starts and opens it', () => {
    const { services: compose } = parse(textOf('docker-compose.yml'), { merge: true });
    expect(compose[service].environment).toMatchObject({ PORT: port });
    const database = compose.migrate.environment[`${service.toUpperCase()}_DATABASE_URL`];
    expect(database).toBe(
      `postgresql://${service}:\${${service.toUpperCase()}_PASSWORD:-${service}}@postgres:5432/${service}`,
    );
    expect(compose[service].environment.DATABASE_URL).toBe(database);
    expect(compose.gateway.depends_on).toHaveProperty(service);
    expect(compose.gateway.environment[`${service.toUpperCase()}_URL`]).toBe(`http://${service}:${port}`);
  });

  test('docker-compose.yml configures it: with secrets of its own, because it listens on all addresses', () => {
    const { services: compose } = parse(textOf('docker-compose.yml'), { merge: true });
    expect(loadConfig(shop[service].config, environmentOf(compose[service])).HOST).toBe('0.0.0.0');
  });
});

test('in docker-compose.yml the gateway is the one door to the services, which believe it alone about who calls', () => {
  const { services: compose } = parse(textOf('docker-compose.yml'), { merge: true });
  expect(compose.gateway.ports).toEqual(['127.0.0.1:${GATEWAY_PORT:-3000}:3000']);
  expect(compose.gateway.environment).not.toHaveProperty('TRUSTED_PROXIES'); // It is called directly.
  for (const service of services) {
    expect(compose[service]).toMatchObject({
      networks: ['inside'],
      environment: { TRUSTED_PROXIES: expect.any(String) },
    });
    expect(compose[service]).not.toHaveProperty('ports'); // Around the gateway nobody comes.
  }
});

test('docker-compose.yml configures the gateway', () => {
  const { services: compose } = parse(textOf('docker-compose.yml'), { merge: true });
  expect(loadConfig(gatewayConfig, environmentOf(compose.gateway)).HOST).toBe('0.0.0.0');
});

test('in docker-compose.yml everything is limited, without capabilities, and on the edge only where it has a port', () => {
  const { services: compose, networks } = parse(textOf('docker-compose.yml'), { merge: true });
  for (const [name, container] of Object.entries<Record<string, unknown>>(compose)) {
    const limits = { mem_limit: expect.stringMatching(/^\d+[mg]$/), cpus: 1, pids_limit: expect.any(Number) };
    expect([name, container]).toEqual([name, expect.objectContaining({ ...limits, cap_drop: ['ALL'] })]);
    expect([name, container['networks']]).toEqual([name, container['ports'] ? ['edge', 'inside'] : ['inside']]);
  }
  expect(networks.inside).toEqual({ internal: true });
});

test('every folder in apps/ and prisma/ is of a service of apps/shop.ts, the gateway, or the console', () => {
  const folders = (parent: string) =>
    readdirSync(parent).filter((name) => existsSync(`${parent}/${name}/${parent === 'apps' ? 'src' : 'migrations'}`));
  expect(folders('apps').sort()).toEqual([...services, 'gateway', 'console'].sort());
  expect(folders('prisma').sort()).toEqual([...services].sort());
});

/** The variables of a container, where nobody has set others. */
function environmentOf({ environment }: { environment: Record<string, string | number> }): Record<string, string> {
  const variables = Object.entries(environment).map(([variable, value]) => [
    variable,
    `${value}`.replace(/\$\{\w+:-([^}]*)\}/g, '$1'),
  ]);
  return Object.fromEntries(variables);
}

/** The tables of a Prisma schema, by name, each with its columns. */
function modelsOf(schema: string): { table: string; columns: string[] }[] {
  const models = [...schema.matchAll(/^model \w+ \{\n([^]*?)^\}/gm)].map(([, body]) => {
    const columns = [...body!.matchAll(/^ {2}(\w+) +\w.*$/gm)].map(
      ([line, field]) => /[^@]@map\("(\w+)"\)/.exec(line)?.[1] ?? field!,
    );
    return { table: /@@map\("(\w+)"\)/.exec(body!)![1]!, columns: columns.sort() };
  });
  return models.sort((a, b) => (a.table < b.table ? -1 : 1));
}
