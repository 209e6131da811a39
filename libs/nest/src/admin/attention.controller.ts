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
import { line, money, orderId } from '#contracts';
import type { Cause } from '#event-store';
import { supervise } from '#runtime';
import { Background } from '../boot/background.js';
import { RequestCause } from '../http/correlation.js';
import { Metrics } from '../boot/metrics.js';
import { documented } from '../http/openapi.js';
import { PORTS, type ServicePorts } from '../../../service/src/ports.js';
import { positionHeader, WrittenAt } from '../http/position.js';

const choice = z.enum(['retry', 'call-off']);

const attentionItem = z.object({
  orderId,
  since: z.iso.datetime().describe('Since when a person is waited for'),
  happened: z.string(),
  held: z
    .object({
      lines: z.array(line.extend({ state: z.string().describe('reserved, shipped, released, …') })),
      money: money.extend({ state: z.string().describe('held, captured, given back, …') }).optional(),
    })
    .describe('What the order holds, as far as this service knows'),
  tried: z.array(z.object({ at: z.iso.datetime(), what: z.string() })),
  choices: z.array(z.object({ decision: choice, effect: z.string() })),
});

export type AttentionItem = z.infer<typeof attentionItem>;

const decisionBody = z.strictObject({
  decision: choice.describe('One of the choices of the item'),
  actor: z.string().trim().min(1).max(200).describe('Who decides'),
  reason: z.string().trim().min(1).max(2_000).describe('Why; it is kept with the events that follow'),
});

export type AttentionDecision = z.infer<typeof decisionBody>;

/** What the composition of a service does for its inbox. */
export interface Attention {
  /** What waits for a person, longest first, at most `limit`. */
  attention(limit: number): Promise<AttentionItem[]>;
  /**
   * Carries a decision out. The same again changes nothing. Returns the position of what was written, if anything was.
   * @throws DomainError when there is no such order here, or when the decision does not apply any more
   */
  decide(orderId: string, decision: AttentionDecision, cause: Cause): Promise<{ position: bigint } | undefined>;
}

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
        async () => [{ labels: {}, value: (await service.attention(COUNTED)).length }],
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
    const items = await service.attention(COUNTED);
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
    return { items: await this.inbox.attention(limit) };
  }

  @Post(':orderId')
  @HttpCode(200)
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Decides about an order; the same again changes nothing' }))
  @documented(({ ApiResponse }) =>
    ApiResponse({ status: 200, standardSchema: decisionBody.extend({ orderId }), headers: positionHeader }),
  )
  @documented(({ ApiResponse }) => ApiResponse({ status: 404, description: 'There is no such order here' }))
  @documented(({ ApiResponse }) =>
    ApiResponse({ status: 409, description: 'The decision does not apply (any more); `detail` says why' }),
  )
  async decide(
    @Param('orderId', { schema: orderId }) id: string,
    @Body({ schema: decisionBody }) decision: AttentionDecision,
    @RequestCause() cause: Cause,
    @WrittenAt() writtenAt: (position: bigint) => void,
  ) {
    const written = await this.inbox.decide(id, decision, cause);
    if (written) writtenAt(written.position);
    return { orderId: id, ...decision };
  }
}
