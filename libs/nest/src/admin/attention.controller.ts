/**
 * The attention inbox of a service: what the program may not decide alone. The service knows what waits for a person and
 * carries out the person's decision; this file shows it over HTTP, in the metrics and in the log.
 */
import { Body, Controller, Get, Inject, type InjectionToken, Param, Post, type Provider, Query } from '@nestjs/common';
import { z } from 'zod';
import { orderId } from '#contracts';
import type { Cause } from '#event-store';
import { supervise } from '#runtime';
import { Background } from '../boot/background.js';
import { RequestCause } from '../http/correlation.js';
import { Metrics } from '../boot/metrics.js';
import { type Attention, attentionItem, resolution, type Resolution, type ServicePorts } from '#service';
import { Answer } from '../http/answer.js';
import { positionHeader } from '../http/position.js';
import { answers, refuses, route } from '../http/route.js';
import { PORTS } from '../tokens.js';

const ATTENTION = Symbol('Attention');
/** The inbox is meant to be empty: above this, an exact number says no more. */
const COUNTED = 100;
const ALERT_EVERY_MS = 10 * 60_000;

const inboxView = z.object({ items: z.array(attentionItem) });

/** The codes with which the services refuse a decision that does not apply, or no longer applies. */
const INAPPLICABLE = ['order-completed', 'order-off', 'nothing-to-retry', 'nothing-held', 'hold-too-young'];

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

/** Logs what waits, every ten minutes. */
async function alert(service: Attention, { clock, log }: ServicePorts, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const items = await service.inbox(COUNTED);
    if (items.length > 0) {
      log.error(
        { orders: items.length, longest: items[0] },
        'Orders wait for a decision that the program may not take: see GET /admin/attention for the choices.',
      );
    }
    await clock.sleep(ALERT_EVERY_MS, signal);
  }
}

const listQuery = z.object({ limit: z.coerce.number().int().min(1).max(COUNTED).default(50) });

@Controller('admin/attention')
export class AttentionController {
  constructor(@Inject(ATTENTION) private readonly attention: Attention) {}

  @Get()
  @route('Lists the orders that wait for a person, longest first', answers(200, 'The inbox', inboxView))
  async listAttention(@Query({ schema: listQuery }) { limit }: z.infer<typeof listQuery>) {
    return { items: await this.attention.inbox(limit) };
  }

  @Post(':orderId')
  @route(
    "Carries out a person's decision about an order; repeating it changes nothing",
    answers(200, 'Carried out', resolution.extend({ orderId }), positionHeader),
    refuses(404, 'order-not-found', 'payment-not-found', 'reservation-not-found'),
    refuses(409, ...INAPPLICABLE),
  )
  async resolveAttention(
    @Param('orderId', { schema: orderId }) id: string,
    @Body({ schema: resolution }) decision: Resolution,
    @RequestCause() cause: Cause,
  ): Promise<Answer<Resolution & { orderId: string }>> {
    const written = await this.attention.resolve(id, decision, cause);
    return new Answer({ orderId: id, ...decision }, { position: written?.position });
  }
}
