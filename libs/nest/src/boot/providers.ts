/** What the module of every service provides in the same way. */
import type { InjectionToken, Provider } from '@nestjs/common';
import { PrismaPg } from '@prisma/adapter-pg';
import type pg from 'pg';
import type { Attention, ServicePorts } from '#service';
import { attentionOf } from '../admin/attention.controller.js';
import { CONFIG, DATABASE, PORTS } from '../tokens.js';
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

/** Provides a generated Prisma client on the service's own pool. */
export function providePrisma(Client: new (options: { adapter: PrismaPg }) => object): Provider {
  return {
    provide: Client,
    inject: [DATABASE],
    useFactory: (pool: pg.Pool) => new Client({ adapter: new PrismaPg(pool) }),
  };
}
