/** What the gateway is: the one door to the services. It has no rule of the business: whose a thing is, the services decide. */
import { z } from 'zod';
import { type AccessTable, commonAccess, configOf, httpConfig, urls } from '#service';
import { perService, type Service, services, shop } from '../../shop.js';

/** `ORDER_URL` */
const urlVariable = <S extends Service>(service: S) => `${service.toUpperCase() as Uppercase<S>}_URL` as const;

type UrlVariable = ReturnType<typeof urlVariable<Service>>;

const variables = Object.fromEntries(
  services.map((service) => [
    urlVariable(service),
    urls()
      .prefault(`http://127.0.0.1:${shop[service].port}`)
      .describe(
        `Where ${service} is: http://${service}:${shop[service].port}; several are separated by commas, and a name that leads to several addresses stands for all of them`,
      ),
  ]),
) as unknown as Record<UrlVariable, ReturnType<typeof urls>>;

export const gatewayConfig = configOf(httpConfig, 3000, variables, []);

export type GatewayConfig = z.infer<typeof gatewayConfig> & Record<UrlVariable, readonly string[]>;

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
 * Every route of the services. Their own stand at the gateway as they stand there; what all services have for operators
 * stands under a service's name.
 */
export const serviceRoutes: readonly ServiceRoute[] = services.flatMap((service) => [
  ...Object.keys(shop[service].access).map((operation) => routeOf(service, operation, '')),
  ...Object.keys(commonAccess)
    .filter((operation) => operation.includes(' /admin/'))
    .map((operation) => routeOf(service, operation, `/${service}`)),
]);

function routeOf(service: Service, operation: string, prefix: string): ServiceRoute {
  const [method, path] = operation.split(' ') as [string, string];
  return { service, method, path: `${prefix}${path}`, prefix };
}

/** Who may call which route of the services: what their own tables say. */
export const gatewayAccess: AccessTable = Object.fromEntries(
  serviceRoutes.map(({ service, method, path, prefix }) => {
    const table: AccessTable = { ...commonAccess, ...shop[service].access };
    return [`${method} ${path}`, table[`${method} ${path.slice(prefix.length)}`]!];
  }),
);
