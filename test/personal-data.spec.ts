/**
 * Every field that services take, store or send is either in the table of docs/personal-data.md or known to say nothing of a
 * person. A new field is neither: whoever adds it has to decide.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { type Service, services, shop } from '../apps/shop.js';
import type { EventMetadata } from '#event-store';

/** What says nothing of a person: of things, money, states and the machinery. */
const NOT_PERSONAL = new Set(
  [
    // An order, its goods and its money; whose they are, `customerId` says.
    'orderId lines.sku lines.quantity lines.unitPrice.amountMinor lines.unitPrice.currency lines short sku quantity counted',
    'difference available reserved shipped answer.available answer.reserved answer.shipped answer.difference',
    'total.amountMinor total.currency totalMinor currency amountMinor amount.amountMinor amount.currency capturedMinor',
    'expectedTotal.amountMinor expectedTotal.currency held.amountMinor held.currency moved.amountMinor moved.currency',
    'refunded.amountMinor refunded.currency refunded refundedMinor',
    // States, their times, and what the provider calls its things.
    'status settled wants question attempt reminders retry refusalsKnown number step how outcome detail nothingToPay kind',
    'since asOf placedAt deadlineAt updatedAt createdAt requestedAt dueAt erasedAt attentionAt attendedAt notBefore',
    'heldSince expiresAt holdExpiresAt authorizationId secondHolds',
    'data data.orderId data.status data.reason data.authorizationId data.captureId data.expiresAt',
    'data.authorized.amountMinor data.authorized.currency data.captured.amountMinor data.captured.currency',
    'data.refunded.amountMinor data.refunded.currency data.disputed.amountMinor data.disputed.currency',
    // The names of keys, not the keys.
    'kid kids pending erased',
    // The machinery.
    'limit cursor after id name action type topic error position schema correlationId causationId message traceparent',
  ]
    .join(' ')
    .split(' '),
);

/** The fields of a JSON value, each by the path of names that leads to it. */
function pathsOf(value: unknown, path: readonly string[] = []): string[] {
  if (Array.isArray(value)) return value.length > 0 ? value.flatMap((each) => pathsOf(each, path)) : [path.join('.')];
  if (typeof value !== 'object' || value === null) return [path.join('.')];
  const members = Object.entries(value).flatMap(([name, member]) => pathsOf(member, [...path, name]));
  return members.length > 0 || path.length === 0 ? members : [path.join('.')];
}

interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly allOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
}

/** The fields that a JSON schema has. */
function fieldsOf(
  schema: Schema,
  components: Readonly<Record<string, Schema>>,
  path: readonly string[] = [],
): string[] {
  const { $ref, properties, items, allOf, anyOf, oneOf } = schema;
  if ($ref) return fieldsOf(components[$ref.split('/').at(-1)!]!, components, path);
  const parts = [items, allOf, anyOf, oneOf].flat().filter((part) => part !== undefined);
  if (parts.length > 0) return parts.flatMap((part) => fieldsOf(part, components, path));
  if (!properties) return [path.join('.')];
  return Object.entries(properties).flatMap(([name, each]) => fieldsOf(each, components, [...path, name]));
}

/** What requests bring: bodies, and parameters of paths and queries. */
function requestFields(service: Service): string[] {
  const { paths, components } = parse(readFileSync(`docs/openapi/${service}.yaml`, 'utf8')) as {
    paths: Record<string, Record<string, Operation>>;
    components: { schemas: Record<string, Schema> };
  };
  interface Operation {
    readonly parameters?: readonly { readonly in: string; readonly name: string }[];
    readonly requestBody?: { readonly content: Record<string, { readonly schema: Schema }> };
  }
  return Object.values(paths)
    .flatMap((item) => Object.values(item))
    .flatMap(({ parameters = [], requestBody }) => [
      ...parameters.filter((each) => each.in !== 'header').map(({ name }) => name),
      ...Object.values(requestBody?.content ?? {}).flatMap(({ schema }) => fieldsOf(schema, components.schemas)),
    ]);
}

/** What events hold, in every shape that was ever stored. */
function eventFields(service: Service): string[] {
  const folder = `apps/${service}/src/golden`;
  return readdirSync(folder).flatMap((file) => {
    const { data } = JSON.parse(readFileSync(`${folder}/${file}`, 'utf8')) as { data: object };
    return pathsOf(data);
  });
}

/** What messages hold. */
function messageFields(service: Service): string[] {
  const schemas = Object.values(shop[service].publishes.schemas as Record<string, z.ZodType>);
  return schemas.flatMap((schema) => fieldsOf(z.toJSONSchema(schema) as Schema, {}));
}

/** The columns of read models and to-do lists. */
function columns(service: Service): string[] {
  const schema = readFileSync(`prisma/${service}/schema.prisma`, 'utf8');
  const tables = new Set(shop[service].projections.map(({ table }) => table));
  return [...schema.matchAll(/^model \w+ \{\n([^]*?)^\}/gm)]
    .map(([, body]) => body!)
    .filter((body) => tables.has(/@@map\("(\w+)"\)/.exec(body)![1]!))
    .flatMap((body) => [...body.matchAll(/^ {2}(\w+) +\w/gm)].map(([, field]) => field!));
}

/** A member that is missing here does not compile, and one that does not exist, neither. */
const metadata: Record<keyof EventMetadata, true> = {
  correlationId: true,
  causationId: true,
  message: true,
  traceparent: true,
  actor: true,
  reason: true,
  schema: true,
};

const fields = new Map<string, string[]>();
for (const service of services) {
  const found = {
    'a request': requestFields(service),
    'an event': eventFields(service),
    'a message': messageFields(service),
    'a read model': columns(service),
  };
  for (const [where, names] of Object.entries(found)) {
    for (const name of names) fields.set(name, [...(fields.get(name) ?? []), `${where} of ${service}`]);
  }
}
for (const name of Object.keys(metadata)) fields.set(name, [...(fields.get(name) ?? []), 'the metadata of events']);
fields.delete(''); // What has no data.

/** The fields in the first column of the table. */
const documented = new Set(
  readFileSync('docs/personal-data.md', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .flatMap((line) => [...line.split('|')[1]!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!)),
);

test('every field is in the table of personal data, or known to say nothing of a person', () => {
  const unknown = [...fields].filter(([name]) => !documented.has(name) && !NOT_PERSONAL.has(name));
  expect(unknown.map(([name, where]) => `${name}, in ${[...new Set(where)].join(' and ')}`)).toEqual([]);
});

test('no field is both, and none is named that does not exist', () => {
  expect([...documented].filter((name) => NOT_PERSONAL.has(name))).toEqual([]);
  expect([...documented, ...NOT_PERSONAL].filter((name) => !fields.has(name))).toEqual([]);
});
