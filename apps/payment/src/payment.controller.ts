/** Payments, the provider's webhooks and the simulator's ledger over HTTP. */
import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query, UseGuards } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { z } from 'zod';
import { orderId as orderIdSchema } from '#contracts';
import type { Cause } from '#event-store';
import { AfterPosition, documented, Problem, ReadYourWrites, RequestCause } from '#service';
import { ledgerQuery, ledgerView, newsOf, paymentView, paymentViewOf } from './payment.dto.js';
import { GetPayment, RecordProviderNews } from './payment.handlers.js';
import { paymentSummary } from './read-models/payment-summary.js';
import { Ledger } from './simulator/ledger.js';
import { SignedByProvider } from './webhook.guard.js';
import { SIGNATURE_HEADER, type Webhook, webhook } from './webhook.js';

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
  @documented(({ ApiResponse }) => ApiResponse({ status: 200, standardSchema: paymentView }))
  async get(
    @Param('orderId', { schema: orderIdSchema }) orderId: string,
    @AfterPosition() after: bigint | undefined,
  ): Promise<z.infer<typeof paymentView>> {
    await this.readYourWrites.caughtUp(paymentSummary, after);
    const row = await this.queries.execute(new GetPayment(orderId));
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
    ApiResponse({ status: 401, description: '`signature-forged`, `-stale` or `-malformed`' }),
  )
  async news(@Body({ schema: webhook }) news: Webhook, @RequestCause() cause: Cause): Promise<{ received: true }> {
    const command = newsOf(news);
    if (command) {
      const { orderId } = news.data;
      await this.commands.execute(new RecordProviderNews(orderId, command, { ...cause, causationId: news.id }));
    }
    return { received: true };
  }

  @Get('simulator/ledger')
  @documented(({ ApiOperation }) =>
    ApiOperation({ summary: 'Shows what the simulated provider has charged and given back' }),
  )
  @documented(({ ApiResponse }) => ApiResponse({ status: 200, standardSchema: ledgerView }))
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
