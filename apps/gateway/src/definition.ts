/** What the gateway is: the one door to the services. It has no rule of the business: whose a thing is, the services decide. */
import { z } from 'zod';
import {
  accessOf,
  type AccessTable,
  commonAccess,
  configOf,
  duration,
  httpConfig,
  isLoopback,
  secrets,
  troubleAccess,
  urls,
} from '#service';
import { perService, type Service, services, shop } from '../../shop.js';

/** `ORDER_URL` */
const urlVariable = <S extends Service>(service: S) => `${service.toUpperCase() as Uppercase<S>}_URL` as const;

type UrlVariable = ReturnType<typeof urlVariable<Service>>;

const urlVariables = Object.fromEntries(
  services.map((service) => [
    urlVariable(service),
    urls()
      .prefault(`http://127.0.0.1:${shop[service].port}`)
      .describe(
        `Where ${service} is: http://${service}:${shop[service].port}; several are separated by commas, and a name that leads to several addresses stands for all of them`,
      ),
  ]),
) as unknown as Record<UrlVariable, ReturnType<typeof urls>>;

/** An origin that browsers reach: without TLS, only one of this machine, since cookies and codes would be anybody's on the way. */
const browserUrl = () =>
  z.string().refine((text) => {
    if (!URL.canParse(text)) return false;
    const { origin, protocol, hostname } = new URL(text);
    return origin === text && (protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname)));
  }, 'is neither an https:// URL nor an http:// URL of this machine, without a path');

const variables = {
  ...urlVariables,
  PUBLIC_URL: browserUrl()
    .optional()
    .describe(
      'Where browsers find the gateway: https://shop.example.com; by default http://localhost with the port of the gateway',
    ),
  CACHE_TIME: duration()
    .prefault('1s')
    .describe('For how long an answer may stand for others that ask for no more than it shows; 0s turns that off'),
  GATEWAY_SECRET: secrets()
    .prefault('larder-development-gateway')
    .describe(
      'What the cookies of the gateway are sealed and signed with, the same at all its instances, at least 16 characters; two, separated by a comma, while one replaces the other. The default is for HOST on loopback',
    ),
  GATEWAY_CLIENT_ID: z
    .string()
    .optional()
    .describe(
      'What AUTH_ISSUER calls the gateway as a machine with the role `service`, which follows what happens in the services, for `GET /stream`',
    ),
  GATEWAY_CLIENT_SECRET: z.string().optional().describe('The secret of that machine'),
  LOGIN_CLIENT_ID: z.string().default('larder').describe('What AUTH_ISSUER calls the gateway, as its client'),
  LOGIN_CLIENT_SECRET: z
    .string()
    .optional()
    .describe('The secret of that client; by default none, and the client is a public one'),
  LOGIN_SCOPE: z.string().default('openid profile').describe('The scopes that a login asks for'),
  LOGIN_ISSUER_URL: browserUrl()
    .optional()
    .describe('Where browsers find AUTH_ISSUER, when they do not under its name: http://localhost:3004'),
};

export const gatewayConfig = configOf(httpConfig, 3000, variables, ['GATEWAY_SECRET']);

export type GatewayConfig = z.infer<typeof gatewayConfig> & Record<UrlVariable, readonly string[]>;

export const publicUrlOf = ({ PUBLIC_URL, PORT }: GatewayConfig) => new URL(PUBLIC_URL ?? `http://localhost:${PORT}`);

/** The URLs of each service's instances. */
export const urlsOf = (config: GatewayConfig) => perService((service) => config[urlVariable(service)]);

/** A route of a service, as the gateway has it. */
export interface ServiceRoute {
  readonly service: Service;
  /** `GET` */
  readonly method: string;
  /** At the gateway: `/orders/:orderId`, `/payment/admin/attention`. */
  readonly path: string;
  /** What the gateway adds in front of the service's own path: '' or `/payment`. */
  readonly prefix: string;
}

/**
 * Every route of the services. Their own stand at the gateway as they stand there; what all services have for staff, such
 * as their documents, stands under a service's name. What happens in them the gateway itself tells, of all together.
 */
export const serviceRoutes: readonly ServiceRoute[] = services.flatMap((service) => [
  ...Object.keys(shop[service].access).map((operation) => routeOf(service, operation, '')),
  ...Object.keys(commonAccess)
    .filter((operation) => operation.includes(' /admin/') || operation === 'GET /docs-json')
    .filter((operation) => operation !== 'GET /admin/activity')
    .map((operation) => routeOf(service, operation, `/${service}`)),
]);

function routeOf(service: Service, operation: string, prefix: string): ServiceRoute {
  const [method, path] = operation.split(' ') as [string, string];
  return { service, method, path: `${prefix}${path}`, prefix };
}

/** What is there besides where TROUBLE is true. */
export const troubleRoutes: readonly ServiceRoute[] = services.flatMap((service) =>
  Object.keys(troubleAccess).map((operation) => routeOf(service, operation, `/${service}`)),
);

export const routesOf = ({ TROUBLE }: Pick<GatewayConfig, 'TROUBLE'>): readonly ServiceRoute[] =>
  TROUBLE ? [...serviceRoutes, ...troubleRoutes] : serviceRoutes;

/** The paths of the console's pages, which are all the same file: it shows the page by its address. */
export const consolePages = [
  '/',
  '/console/orders',
  '/console/orders/:orderId',
  '/console/inbox',
  '/console/dead-letters',
  '/console/read-models',
  '/console/flow',
  '/console/trouble',
  '/console/worlds',
  '/console/worlds/:seed',
  '/console/story',
];

/** Its files besides: the licences of what is bundled, and what the page of simulated worlds can run. */
export const consoleFiles = ['licenses.md', 'worlds.json', 'worlds-licenses.md'];

/** What the gateway has besides. */
const ownAccess: AccessTable = {
  'GET /login': 'anyone',
  'GET /callback': 'anyone',
  'GET /session': 'anyone', // It tells who calls.
  'POST /logout': 'anyone',
  'GET /flow': { operator: 'any' },
  'GET /stream': { customer: 'own', clerk: 'any', operator: 'any' },
  'GET /orders/:orderId/full': { customer: 'own', clerk: 'any', operator: 'any' },
  'GET /orders/:orderId/story': { customer: 'own', clerk: 'any', operator: 'any' },
  // The console's files: what they show they ask for.
  ...Object.fromEntries(
    [...consolePages, ...consoleFiles.map((name) => `/console/${name}`), '/console/assets/:file'].map((path) => [
      `GET ${path}`,
      'anyone',
    ]),
  ),
};

/** Who may call which route: of the services, what their own tables say. */
export const gatewayAccess: AccessTable = {
  ...ownAccess,
  ...accessTo(serviceRoutes),
};

/** With what is there where TROUBLE is true. */
export const accessWith = ({ TROUBLE }: Pick<GatewayConfig, 'TROUBLE'>): AccessTable =>
  TROUBLE ? { ...gatewayAccess, ...accessTo(troubleRoutes), 'GET /admin/balance': { operator: 'any' } } : gatewayAccess;

function accessTo(routes: readonly ServiceRoute[]): AccessTable {
  const rows = routes.map(({ service, method, path, prefix }) => {
    const table = accessOf({ ...shop[service].access, ...troubleAccess });
    return [`${method} ${path}`, table[`${method} ${path.slice(prefix.length)}`]!] as const;
  });
  return Object.fromEntries(rows);
}

/**
 * The routes whose answers the gateway may keep for others, with their services. None is about personal data, and none is
 * for looking into the past.
 */
export const keptRoutes: ReadonlyMap<string, Service> = new Map([
  ['GET /orders', 'order'],
  ['GET /orders/:orderId', 'order'],
  ['GET /prices', 'order'],
  ['GET /stock', 'inventory'],
  ['GET /stock/:sku', 'inventory'],
  ['GET /reservations/:orderId', 'inventory'],
  ['GET /payments/:orderId', 'payment'],
]);

/** What stands in the JSON of an answer with personal data: such a one is not kept. */
export const PERSONAL = '"recipient":';
