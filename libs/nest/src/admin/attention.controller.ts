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
import { type Attention, attentionItem, pastCase, resolution, type Resolution, type ServicePorts } from '#service';
import { Answer } from '../http/answer.js';
import { cursor, cursorOf, inDigits, moment, pageOf, toPage } from '../http/page.js';
import { positionHeader } from '../http/position.js';
import { answers, refuses, route } from '../http/route.js';
import { PORTS } from '../tokens.js';

const ATTENTION = Symbol('Attention');
const ALERT_EVERY_MS = 10 * 60_000;

const inboxView = pageOf(attentionItem).meta({ id: 'Inbox' });

const pastView = pageOf(pastCase).meta({ id: 'PastCases' });

/** The codes with which the services refuse a decision that does not apply, or no longer applies. */
const INAPPLICABLE = [
  'order-completed',
  'order-off',
  'nothing-to-retry',
  'nothing-held',
  'hold-too-young',
  'nothing-to-accept',
];

/** Provides the inbox of the service that `token` stands for; AttentionController shows it. */
export function attentionOf(token: InjectionToken): Provider {
  return {
    provide: ATTENTION,
    inject: [token, PORTS, Metrics, Background],
    useFactory: (service: Attention, ports: ServicePorts, metrics: Metrics, background: Background) => {
      metrics.gauge('larder_attention', "Orders that wait for a person's decision.", [], async () => [
        { labels: {}, value: await service.count() },
      ]);
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
    const orders = await service.count();
    if (orders > 0) {
      const { items } = await service.inbox({ limit: 1 });
      log.error(
        { orders, longest: items[0] },
        'Orders wait for a decision that the program may not take: see GET /admin/attention for the choices.',
      );
    }
    await clock.sleep(ALERT_EVERY_MS, signal);
  }
}

/** Each item is made from the whole history of its order. */
const MAX_ITEMS = 100;

const listQuery = z.object({
  cursor: cursor(moment, orderId),
  limit: inDigits(z.int().min(1).max(MAX_ITEMS)).prefault(50),
});

@Controller('admin')
export class AttentionController {
  constructor(@Inject(ATTENTION) private readonly attention: Attention) {}

  @Get('attention')
  @route(
    'Lists the orders that wait for a person, longest first',
    answers(200, 'A page of the inbox', inboxView),
    refuses(422, 'invalid-request'),
  )
  async listAttention(@Query({ schema: listQuery }) { cursor, limit }: z.infer<typeof listQuery>) {
    const after = cursor && { since: cursor[0], orderId: cursor[1] };
    const { items, next } = await this.attention.inbox({ limit, after });
    return { items, ...(next && { next: cursorOf(next.since, next.orderId) }) };
  }

  @Get('past-attention')
  @route(
    'Lists the orders about which a person decided, or that needed one no longer, latest first',
    answers(200, 'A page of them', pastView),
    refuses(422, 'invalid-request'),
  )
  async listPast(@Query({ schema: listQuery }) { cursor, limit }: z.infer<typeof listQuery>) {
    const after = cursor && { at: cursor[0], orderId: cursor[1] };
    const found = await this.attention.past({ limit: limit + 1, after });
    return toPage(
      found,
      limit,
      (each) => each,
      ({ at, orderId }) => [at, orderId],
    );
  }

  @Post('attention/:orderId')
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
