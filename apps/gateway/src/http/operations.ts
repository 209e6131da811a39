/** What the OpenAPI document says of the gateway's own routes; that of the services' is made of their documents (document.ts). */
import { z } from 'zod';
import { orderId } from '#contracts';
import { type Operation, type Paths, problemWith, type Schemas } from '#nest';
import { ahead, circuitState, exchange, roles, serviceFlow, storyFact } from '#service';
import { services } from '../../../shop.js';
import type { Flow, FullOrder, LoggedOut, Session, Story, StoryFact } from '../api.js';

const session = z.object({
  caller: z
    .object({
      subject: z.string(),
      name: z.string(),
      roles: z.array(z.enum(roles)),
      may: z.array(z.string()).describe('The operations that are for them: `POST /orders`'),
    })
    .optional()
    .describe('Absent while nobody is logged in'),
  csrf: z.string().optional().describe('To be sent as `Larder-CSRF` with every write of the session'),
}) satisfies z.ZodType<Session>;

const loggedOut = z.object({
  location: z
    .string()
    .describe('Where the page goes now: to the provider, when there is a session of its own to end, or to the start'),
}) satisfies z.ZodType<LoggedOut>;

/** As a service's own document has it. */
const asIn = (schema: string) => z.any().meta({ allOf: [{ $ref: `#/components/schemas/${schema}` }] });

const fullOrder = z.object({
  orderId,
  complete: z.boolean(),
  missing: z
    .array(z.enum(['order', 'reservation', 'payment', 'history']))
    .describe(
      'The parts that did not answer, or that the caller may not see. One that is neither here nor there is not there yet',
    ),
  order: asIn('Order').optional(),
  reservation: asIn('Reservation').optional(),
  payment: asIn('Payment').optional(),
  history: asIn('History').optional(),
}) satisfies z.ZodType<FullOrder>;

const shownFact = storyFact.partial({
  position: true,
  correlationId: true,
  causationId: true,
}) satisfies z.ZodType<StoryFact>;

const story = z.object({
  orderId,
  at: z.iso.datetime().describe('When it was told'),
  complete: z.boolean(),
  missing: z.array(z.enum(services)).describe('The services that did not answer, or that the caller may not ask'),
  facts: z.array(shownFact).describe('By time, and of one service by position'),
  ahead: ahead.optional(),
  exchanges: z.array(exchange).optional().describe('With the payment provider; absent where payment tells nothing'),
}) satisfies z.ZodType<Story>;

const circuits = z.record(z.string(), circuitState);

const flow = z.object({
  at: z.iso.datetime(),
  complete: z.boolean().describe('Whether every instance has told'),
  missing: z.array(z.enum(services)).describe('The services of which no instance has'),
  services: z.array(serviceFlow.omit({ circuits: true })).describe('Each as one of its instances tells it'),
  instances: z.array(
    z.object({
      service: z.enum(services),
      url: z.string(),
      state: z.enum(['ready', 'there', 'out']).describe('`there` takes connections, and is not ready'),
      name: z.string().optional().describe('What it calls itself; absent when it did not answer'),
      circuits: circuits.optional().describe('By what it calls'),
    }),
  ),
  gateway: z.object({ name: z.string(), circuits: circuits.describe('By service'), readers: z.int() }),
}) satisfies z.ZodType<Flow>;

const registry = z.registry<{ id: string }>();
const named = {
  Session: session,
  LoggedOut: loggedOut,
  FullOrder: fullOrder,
  ShownFact: shownFact,
  Story: story,
  Ahead: ahead,
  Exchange: exchange,
  Flow: flow,
};
for (const [id, schema] of Object.entries<z.ZodType>(named)) registry.add(schema, { id });

const { schemas } = z.toJSONSchema(registry, { target: 'openapi-3.0', uri: (id) => `#/components/schemas/${id}` });

/** Their schemas, by name. */
export const ownSchemas: Schemas = Object.fromEntries(
  Object.entries(schemas).map(([name, found]) => {
    const { $id: _, ...schema } = found;
    return [name, schema];
  }),
);

const json = (description: string, schema: string, headers: object = {}) => ({
  description,
  headers,
  content: { 'application/json': { schema: { $ref: `#/components/schemas/${schema}` } } },
});

const refusal = (status: number, ...codes: string[]) => ({
  ...problemWith(codes),
  ...(status === 503 && { headers: { 'Retry-After': { description: 'Seconds', schema: { type: 'integer' } } } }),
});

const redirect = (description: string) => ({
  description,
  headers: { Location: { description, schema: { type: 'string', format: 'uri-reference' } } },
});

const text = { type: 'string' };

const query = (name: string, description: string) => ({
  name,
  in: 'query',
  required: false,
  description,
  schema: text,
});

const thisOrder = {
  name: 'orderId',
  in: 'path',
  required: true,
  schema: z.toJSONSchema(orderId, { target: 'openapi-3.0' }),
};

const seen = {
  name: 'Larder-Position',
  in: 'header',
  required: false,
  description: 'The header of earlier answers: every part then shows no less than they did.',
  schema: { ...text, example: 'order:4711, payment:52' },
};

const shown = {
  'Larder-Position': {
    description: 'Of each service that has answered, up to where its part shows its store',
    schema: text,
  },
};

const login = ['Login'];
const orders = ['Orders'];

export const ownOperations: Paths = {
  '/login': {
    get: {
      operationId: 'logIn',
      summary: 'Begins the login of a browser at the OpenID provider',
      tags: login,
      parameters: [query('returnTo', 'The path that it ends at; default: /')],
      responses: {
        303: redirect('The page of the OpenID provider'),
        502: refusal(502, 'login-failed'),
        503: refusal(503, 'issuer-unavailable'),
      },
    },
  },
  '/callback': {
    get: {
      operationId: 'endLogin',
      summary: 'Ends a login: the OpenID provider sends the browser here, and its session begins',
      tags: login,
      parameters: [
        query('code', 'What tokens are got for'),
        query('state', 'Of the login that was begun'),
        query('error', 'Why the provider refuses'),
      ],
      responses: {
        303: redirect('`returnTo` of the login'),
        400: refusal(400, 'login-over', 'login-refused'),
        502: refusal(502, 'login-failed', 'token-too-large'),
        503: refusal(503, 'issuer-unavailable'),
      },
    },
  },
  '/session': {
    get: {
      operationId: 'getSession',
      summary: 'Shows who is logged in, and what they may do',
      tags: login,
      parameters: [],
      responses: {
        200: json('The session; nothing of it while nobody is logged in', 'Session'),
        401: refusal(401, 'unauthenticated', 'token-invalid', 'token-expired'),
      },
    },
  },
  '/logout': {
    post: {
      operationId: 'logOut',
      summary: 'Ends the session',
      tags: login,
      parameters: [],
      responses: { 200: json('Nobody is logged in any longer', 'LoggedOut') },
    },
  },
  '/orders/{orderId}/full': {
    get: {
      operationId: 'getFullOrder',
      summary: 'Shows an order with its reservation, its payment and its history, as far as their services answer',
      tags: orders,
      parameters: [thisOrder, seen],
      responses: {
        200: json('What there is', 'FullOrder', shown),
        400: refusal(400, 'invalid-position', 'unknown-position'),
        404: refusal(404, 'order-not-found'),
        422: refusal(422, 'invalid-request'),
        503: refusal(503, 'unavailable'),
      },
    },
  },
  '/orders/{orderId}/story': {
    get: {
      operationId: 'getStory',
      summary:
        'Shows what happened to an order in all services, what each read model showed since when, and what comes next',
      tags: orders,
      parameters: [thisOrder],
      responses: {
        200: json('What the services tell; a customer is told what order has of it', 'Story'),
        404: refusal(404, 'order-not-found'),
        422: refusal(422, 'invalid-request'),
        503: refusal(503, 'unavailable'),
      },
    },
  },
  '/flow': {
    get: {
      operationId: 'getFlow',
      summary: 'Shows in figures how the shop flows: what moves, what is behind, who holds which lease, open circuits',
      tags: ['Flow'],
      parameters: [],
      responses: { 200: json('What the instances tell', 'Flow') },
    },
  },
  '/stream': {
    get: {
      operationId: 'followStream',
      summary:
        'Tells what happens in all services, as server-sent events: facts, what read models show, lags, and who is away',
      tags: ['Stream'],
      parameters: [
        {
          ...query('after', 'The id of an event, after which it begins; default: now'),
          schema: { ...text, minLength: 1, maxLength: 500 },
        },
        {
          name: 'Last-Event-ID',
          in: 'header',
          required: false,
          description: 'The id that was read last, as a browser sends it: it counts more than `after`',
          schema: { ...text, example: 'order:4711,inventory:52,payment:7' },
        },
      ],
      responses: {
        200: {
          description:
            'Events `begin`, `fact`, `shown`, `lag`, `away`, `resync` when it cannot go on after the id, and `beat` every five seconds. A customer is told the facts of their own orders.',
          content: { 'text/event-stream': { schema: text } },
        },
        400: refusal(400, 'invalid-position'),
        503: refusal(503, 'unavailable', 'busy', 'not-configured'),
      },
    },
  },
} satisfies Record<string, Record<string, Operation>>;
