/**
 * The messages between the services as an AsyncAPI 3.0 document. Everything is derived: payloads from the schemas of
 * `#contracts`, examples from the messages that each service publishes for its golden events, and the receivers of a
 * message from whether a service reacts to its example.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { type AnyTopic, currency, line, money, orderId, quantity, sku, topics } from '#contracts';
import { type Message, PARTITIONS, toMessages } from '#message-bus';
import { versionOf } from '#event-store';
import { Advice } from '../advice.js';
import { services, shop } from '../../../apps/shop.js';

/** The values that several messages share, by their names in the document. */
const shared = { OrderId: orderId, Sku: sku, Quantity: quantity, Currency: currency, Money: money, OrderLine: line };

/** @throws Advice when no golden event of a service leads to one of its messages */
export function asyncApi(): object {
  const schemas = jsonSchemas();
  const examples = new Map(services.map((service) => [service, examplesOf(service)]));
  const channels = services.map((service) => {
    const { publishes: topic } = shop[service];
    const messages = Object.entries(topic.schemas).map(([type, schema]) => {
      const example = examples.get(service)!.get(type);
      if (!example) {
        const places = `apps/${service}/src/golden/ and messages.ts`;
        throw new Advice(
          `${type} on ${topic.name} has no example, because no golden event leads to it. Add one: see ${places}.`,
        );
      }
      const message = {
        summary: schema.description,
        traits: [{ $ref: '#/components/messageTraits/cloudEvent' }],
        headers: { type: 'object', properties: { ce_type: { const: type }, ce_source: { const: topic.source } } },
        payload: schemas[`${topic.name} ${type}`],
        examples: [{ payload: example.data }],
      };
      return [type, message] as const;
    });
    const channel = {
      address: topic.name,
      title: `The events of ${service}`,
      messages: Object.fromEntries(messages),
      bindings: { kafka: { topic: topic.name, partitions: PARTITIONS, bindingVersion: '0.5.0' } },
    };
    return [channelOf(topic), channel] as const;
  });

  const operations = services.flatMap((service) => {
    const { publishes: topic, reactionTo } = shop[service];
    const sends = operation('send', service, topic, Object.keys(topic.schemas));
    const receives = topics.flatMap((received: AnyTopic) => {
      const published = examples.get(services.find((each) => shop[each].publishes === received)!)!;
      const types = Object.keys(received.schemas).filter((type) => reactionTo(published.get(type)) !== undefined);
      return types.length > 0 ? [operation('receive', service, received, types)] : [];
    });
    return [sends, ...receives];
  });

  const { version, license } = JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, string>;
  return {
    asyncapi: '3.0.0',
    id: 'urn:larder',
    info: {
      title: 'Larder: the messages between the services',
      version,
      license: { name: license },
      description: INTRODUCTION,
      tags: services.map((name) => ({ name, description: `What the ${name} service sends and receives` })),
    },
    defaultContentType: 'application/json',
    servers: {
      kafka: {
        host: '{host}:{port}',
        protocol: 'kafka',
        description: 'The broker that MESSAGE_BUS_URL names',
        variables: { host: { default: 'localhost' }, port: { default: '9092' } },
      },
    },
    channels: Object.fromEntries(channels),
    operations: Object.fromEntries(operations),
    components: {
      messageTraits: { cloudEvent: CLOUD_EVENT },
      correlationIds: {
        correlationId: {
          description: 'Shared by everything that follows from one request, across services',
          location: '$message.header#/correlationid',
        },
      },
      schemas: Object.fromEntries(Object.keys(shared).map((name) => [name, schemas[name]])),
    },
  };
}

const INTRODUCTION = `\
One document for all services: each operation is described from the side of the service that it is tagged with. A service
publishes its events on a topic of its own, and the other services react; no service sends commands to another.

- A message is a CloudEvents 1.0 event in Kafka's binary mode: its attributes are headers, its data is the value.
- The key is the order's id, so the messages about one order keep their order within a topic.
- A message may come more than once, with the same \`ce_id\`: handlers are idempotent.
- Messages only gain fields and topics only gain types: ignore what you do not know.
- A service receives all messages of a topic; an operation lists those that it acts upon.
`;

const ids = {
  orderId: '35ae42d2-6e6e-5a86-9d84-5d9b8a47d2b8',
  event: '01a0f3b4-5c1e-7d2a-8f60-2b9c4e7a1d35',
  correlation: 'c7b0a1de-3f4e-4b6a-9d57-8e21f0c9a4b3',
};
const TIME = '2026-11-21T12:08:38.757Z';

const header = (description: string, examples: readonly string[], more: object = {}) => ({
  description,
  type: 'string',
  ...more,
  examples,
});

/** What every message has: the attributes of CloudEvents as headers of a Kafka record, and the key. */
const CLOUD_EVENT = {
  contentType: 'application/json',
  correlationId: { $ref: '#/components/correlationIds/correlationId' },
  headers: {
    type: 'object',
    required: [
      'ce_specversion',
      'ce_id',
      'ce_type',
      'ce_source',
      'ce_time',
      'ce_subject',
      'content-type',
      'correlationid',
    ],
    properties: {
      ce_specversion: { description: 'The version of CloudEvents', type: 'string', const: '1.0' },
      ce_id: header('The id of the event that the message reports', [ids.event], { format: 'uuid' }),
      ce_type: header('The type of the message', ['OrderPlaced']),
      ce_source: header('The service that speaks', ['/order']),
      ce_time: header('When the event happened, in UTC', [TIME], { format: 'date-time' }),
      ce_subject: header("The order's id; the same as the key", [ids.orderId]),
      'content-type': header('The media type of the value', ['application/json']),
      correlationid: header('Shared by everything that follows from one request, across services', [ids.correlation]),
      traceparent: header('W3C Trace Context, where the request was traced', [
        '00-8f3c1d7a9b2e4f1f0d7c5d0b4b8e9c55-2f7e1a9c3b5d6f80-01',
      ]),
    },
  },
  bindings: { kafka: { key: { $ref: '#/components/schemas/OrderId' }, bindingVersion: '0.5.0' } },
};

/** `order.events.v1` is the channel `orderEventsV1`. */
function channelOf({ name }: AnyTopic): string {
  return name.replace(/\.(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function operation(action: 'send' | 'receive', service: string, topic: AnyTopic, types: readonly string[]) {
  const channel = channelOf(topic);
  const name = `${service}${action === 'send' ? 'Sends' : 'Receives'}${capital(channel)}`;
  const consumes = { kafka: { groupId: { type: 'string', const: service }, bindingVersion: '0.5.0' } };
  const described = {
    action,
    channel: { $ref: `#/channels/${channel}` },
    summary: action === 'send' ? `${capital(service)} publishes its events` : `${capital(service)} reacts`,
    tags: [{ name: service }],
    messages: types.map((type) => ({ $ref: `#/channels/${channel}/messages/${type}` })),
    ...(action === 'receive' && { bindings: consumes }),
  };
  return [name, described] as const;
}

const capital = (word: string) => word.charAt(0).toUpperCase() + word.slice(1);

/** The first message of each type that a service publishes for its golden events, by type. */
function examplesOf(service: (typeof services)[number]): Map<string, Message> {
  const { publishes: topic, messageOf, upcasters } = shop[service];
  const toMessage = toMessages(topic, messageOf);
  const folder = `apps/${service}/src/golden`;
  const examples = new Map<string, Message>();
  for (const file of readdirSync(folder).sort()) {
    const { type, schema, data } = JSON.parse(readFileSync(`${folder}/${file}`, 'utf8'));
    if (schema !== versionOf(upcasters, type)) continue; // An old shape, which is no longer written.
    const message = toMessage({
      id: ids.event,
      type,
      data,
      stream: `${service}-${ids.orderId}`,
      revision: 0,
      position: 1n,
      metadata: { schema, correlationId: ids.correlation, causationId: ids.correlation },
      recordedAt: TIME,
    });
    if (message && !examples.has(message.type)) examples.set(message.type, message);
  }
  return examples;
}

/** JSON Schema, draft 7, of the shared values by name, and of each payload by `<topic> <type>`. */
function jsonSchemas(): Record<string, object> {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(shared)) registry.add(schema, { id });
  for (const { name, schemas } of topics as readonly AnyTopic[]) {
    for (const [type, schema] of Object.entries(schemas)) registry.add(schema, { id: `${name} ${type}` });
  }
  const { schemas } = z.toJSONSchema(registry, {
    target: 'draft-7',
    io: 'input', // As messages arrive: possibly with fields that the contract does not know.
    uri: (id) => `#/components/schemas/${id}`,
  });
  return Object.fromEntries(
    Object.entries(schemas).map(([id, { description, ...schema }]) => [
      id,
      // The description of a message is its summary.
      { ...(id in shared && { description }), ...schema, $id: undefined, $schema: undefined },
    ]),
  );
}
