/**
 * The attention inbox of a service: what the program may not decide alone. A service says what waits for a person and
 * carries out what the person decides; here that gets its place in HTTP, in the metrics and in the log.
 */
import {
  Body,
  Controller,
  Get,
  HttpCode,
  Inject,
  type InjectionToken,
  Param,
  Post,
  type Provider,
  Query,
} from '@nestjs/common';
import { z } from 'zod';
import { orderId } from '#contracts';
import type { Cause } from '#event-store';
import { supervise } from '#runtime';
import { Background } from '../boot/background.js';
import { RequestCause } from '../http/correlation.js';
import { Metrics } from '../boot/metrics.js';
import { documented } from '../http/openapi.js';
import {
  type Attention,
  resolution,
  type Resolution,
  type AttentionItem,
  attentionItem,
  type ServicePorts,
} from '#service';
import { PORTS } from '../tokens.js';
import { positionHeader, WrittenAt } from '../http/position.js';

const ATTENTION = Symbol('Attention');
/** The inbox is meant to be empty: a number that is not exact says enough. */
const COUNTED = 100;
const ALERT_EVERY_MS = 10 * 60_000;

/** Provides the inbox of the service that `token` stands for; AttentionController shows it. */
export function attentionOf(token: InjectionToken): Provider {
  return {
    provide: ATTENTION,
    inject: [token, PORTS, Metrics, Background],
    useFactory: (service: Attention, ports: ServicePorts, metrics: Metrics, background: Background) => {
      metrics.gauge(
        'larder_attention',
        `Orders that wait for a person's decision; at most ${COUNTED} are counted.`,
        [],
        async () => [{ labels: {}, value: (await service.inbox(COUNTED)).length }],
      );
      background.run((signal) =>
        supervise('attention', ports, signal, (s) =>
          ports.leases.hold('attention', s, (lease) => alert(service, ports, lease)),
        ),
      );
      return service;
    },
  };
}

/** Says in the log, again and again, who waits. */
async function alert(service: Attention, { clock, log }: ServicePorts, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const items = await service.inbox(COUNTED);
    if (items.length > 0) {
      log.error(
        { orders: items.length, longest: items[0] },
        'Orders wait for a decision that the program may not take: GET /admin/attention says which, and what can be done.',
      );
    }
    await clock.sleep(ALERT_EVERY_MS, signal);
  }
}

@Controller('admin/attention')
export class AttentionController {
  constructor(@Inject(ATTENTION) private readonly inbox: Attention) {}

  @Get()
  @documented(({ ApiOperation }) =>
    ApiOperation({ summary: 'Lists the orders that wait for a decision of a person, longest first' }),
  )
  @documented(({ ApiResponse }) =>
    ApiResponse({ status: 200, standardSchema: z.object({ items: z.array(attentionItem) }) }),
  )
  async list(
    @Query({ schema: z.object({ limit: z.coerce.number().int().min(1).max(COUNTED).default(50) }) })
    { limit }: { limit: number },
  ): Promise<{ items: AttentionItem[] }> {
    return { items: await this.inbox.inbox(limit) };
  }

  @Post(':orderId')
  @HttpCode(200)
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Decides about an order; the same again changes nothing' }))
  @documented(({ ApiResponse }) =>
    ApiResponse({ status: 200, standardSchema: resolution.extend({ orderId }), headers: positionHeader }),
  )
  @documented(({ ApiResponse }) => ApiResponse({ status: 404, description: 'There is no such order here' }))
  @documented(({ ApiResponse }) =>
    ApiResponse({ status: 409, description: 'The decision does not apply (any more); `detail` says why' }),
  )
  async decide(
    @Param('orderId', { schema: orderId }) id: string,
    @Body({ schema: resolution }) decision: Resolution,
    @RequestCause() cause: Cause,
    @WrittenAt() writtenAt: (position: bigint) => void,
  ) {
    const written = await this.inbox.resolve(id, decision, cause);
    if (written) writtenAt(written.position);
    return { orderId: id, ...decision };
  }
}
