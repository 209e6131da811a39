/** What the module of every service provides in the same way. */
import type { InjectionToken, Provider } from '@nestjs/common';
import { PrismaPg } from '@prisma/adapter-pg';
import { BY_INDEX, postgresPool } from '#runtime/postgres';
import type { Attention, BaseConfig, ServicePorts } from '#service';
import { attentionOf } from '../admin/attention.controller.js';
import { CONFIG, PORTS } from '../tokens.js';
import { Background } from './background.js';

/** What a service's composition gives back: what can be asked of it, and what runs in it. */
type Composed = Attention & { run(signal: AbortSignal): Promise<void> };

/**
 * Provides a service under `token`, composed of its ports, its configuration and whatever `inject` names; runs what moves
 * in it, and shows its inbox.
 */
export function provideService(
  token: InjectionToken,
  compose: (ports: ServicePorts, config: any, ...injected: any[]) => Composed,
  inject: readonly InjectionToken[] = [],
): Provider[] {
  return [
    {
      provide: token,
      inject: [Background, PORTS, CONFIG, ...inject],
      useFactory: (background: Background, ports: ServicePorts, config: unknown, ...injected: unknown[]) => {
        const service = compose(ports, config, ...injected);
        background.run((signal) => service.run(signal));
        return service;
      },
    },
    attentionOf(token),
  ];
}

/**
 * Provides a generated Prisma client for what requests read. Its connections are its own, because a read ends with its
 * request: the server gives up a statement that takes longer than a request may.
 */
export function providePrisma(Client: new (options: { adapter: PrismaPg }) => object): Provider {
  return {
    provide: Client,
    inject: [CONFIG, Background],
    useFactory: ({ DATABASE_URL, REQUEST_TIMEOUT }: BaseConfig, background: Background) => {
      const settings = { ...BY_INDEX, statement_timeout: `${REQUEST_TIMEOUT}` };
      const pool = postgresPool(DATABASE_URL, { max: 4, name: 'larder-reads', settings });
      background.onClose(() => pool.end());
      return new Client({ adapter: new PrismaPg(pool) });
    },
  };
}
