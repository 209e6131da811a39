/** Payments, the provider's webhooks and the simulator's ledger over HTTP. */
import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query, UseGuards } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { z } from 'zod';
import { orderId as orderIdSchema } from '#contracts';
import type { Cause } from '#event-store';
import {
  type After,
  AfterPosition,
  documented,
  positionHeader,
  Problem,
  ReadYourWrites,
  refuses,
  RequestCause,
  WrittenAt,
} from '#nest';
import { ledgerQuery, ledgerView, newsOf, paymentView, paymentViewOf } from './payment.dto.js';
import { GetPayment, RecordProviderNews } from './payment.handlers.js';
import { paymentSummary } from '../read-models/payment-summary.js';
import { Ledger } from '../simulator/ledger.js';
import { SignedByProvider } from './webhook.guard.js';
import { SIGNATURE_HEADER, type Webhook, webhook } from '../webhook.js';

@Controller()
export class PaymentController {
  constructor(
    @Inject(CommandBus) private readonly commands: CommandBus,
    @Inject(QueryBus) private readonly queries: QueryBus,
    @Inject(ReadYourWrites) private readonly readYourWrites: ReadYourWrites,
    @Inject(Ledger) private readonly ledger: Ledger,
  ) {}

  @Get('payments/:orderId')
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Shows the payment of an order' }))
  @documented(({ ApiResponse }) =>
    ApiResponse({ status: 200, description: 'How it stands', standardSchema: paymentView, headers: positionHeader }),
  )
  @refuses(404, 'payment-not-found')
  async get(
    @Param('orderId', { schema: orderIdSchema }) orderId: string,
    @AfterPosition() after: After,
  ): Promise<z.infer<typeof paymentView>> {
    const look = () => this.queries.execute(new GetPayment(orderId));
    const row = await this.readYourWrites.read(paymentSummary, after, look);
    if (!row)
      throw new Problem(404, 'payment-not-found', 'This order has not been asked to pay, as far as is known here.');
    return paymentViewOf(row);
  }

  /** What a webhook tells twice, or late, changes nothing. */
  @Post('webhooks/payments')
  @UseGuards(SignedByProvider)
  @HttpCode(200)
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Takes news from the payment provider, signed by it' }))
  @documented(({ ApiHeader }) =>
    ApiHeader({ name: SIGNATURE_HEADER, required: true, description: 't=<Unix seconds>,v1=<HMAC-SHA256>' }),
  )
  @documented(({ ApiResponse }) =>
    ApiResponse({
      status: 200,
      description: 'Heard',
      standardSchema: z.object({ received: z.literal(true) }),
      headers: positionHeader,
    }),
  )
  @refuses(401, 'signature-forged', 'signature-stale', 'signature-malformed')
  async news(
    @Body({ schema: webhook }) news: Webhook,
    @RequestCause() cause: Cause,
    @WrittenAt() writtenAt: (position: bigint) => void,
  ): Promise<{ received: true }> {
    const command = newsOf(news);
    if (command) {
      const { orderId } = news.data;
      const record = new RecordProviderNews(orderId, command, { ...cause, causationId: news.id });
      writtenAt((await this.commands.execute(record)).position);
    }
    return { received: true };
  }

  @Get('simulator/ledger')
  @documented(({ ApiOperation }) =>
    ApiOperation({ summary: 'Shows what the simulated provider has charged and given back' }),
  )
  @documented(({ ApiResponse }) => ApiResponse({ status: 200, description: 'A page', standardSchema: ledgerView }))
  async ledgerPage(
    @Query({ schema: ledgerQuery }) { orderId, after, limit }: z.infer<typeof ledgerQuery>,
  ): Promise<z.infer<typeof ledgerView>> {
    const of = orderId === undefined ? {} : { orderId };
    const [entries, totals] = await Promise.all([
      this.ledger.entries({ ...of, after, limit }),
      this.ledger.totals(orderId),
    ]);
    const last = entries.length === limit ? entries.at(-1) : undefined;
    return { entries: entries.map((entry) => ({ ...entry })), totals, ...(last && { next: last.position }) };
  }
}
