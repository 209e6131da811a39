/** Payments, the provider's webhooks and the simulator's ledger over HTTP. */
import { Body, Controller, Get, Inject, Param, Post, Query, UseGuards } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { z } from 'zod';
import { orderId as orderIdSchema } from '#contracts';
import type { Cause } from '#event-store';
import {
  AfterPosition,
  Answer,
  answers,
  Metrics,
  PORTS,
  positionHeader,
  Problem,
  readHeaders,
  ReadYourWrites,
  refuses,
  RequestCause,
  route,
  takesHeader,
} from '#nest';
import type { ServicePorts } from '#service';
import { paymentSummary } from '../read-models/payment-summary.js';
import { Ledger } from '../simulator/ledger.js';
import { commandOf, SIGNATURE_HEADER, webhook } from '../webhook.js';
import { ledgerQuery, ledgerView, type PaymentView, paymentView, paymentViewOf, totalsViewOf } from './payment.dto.js';
import { GetPayment, RecordProviderNews } from './payment.handlers.js';
import { SignedByProvider } from './webhook.guard.js';

@Controller()
export class PaymentController {
  private readonly count: (labels: { readonly type: string }) => void;

  constructor(
    @Inject(CommandBus) private readonly commands: CommandBus,
    @Inject(QueryBus) private readonly queries: QueryBus,
    @Inject(ReadYourWrites) private readonly readYourWrites: ReadYourWrites,
    @Inject(Ledger) private readonly ledger: Ledger,
    @Inject(PORTS) private readonly ports: ServicePorts,
    @Inject(Metrics) metrics: Metrics,
  ) {
    this.count = metrics.counter('larder_webhooks_total', 'Webhooks of the payment provider, by their kind.', ['type']);
  }

  @Get('payments/:orderId')
  @route(
    'Shows the payment of an order',
    answers(200, 'Its current state', paymentView, readHeaders),
    refuses(404, 'payment-not-found'),
  )
  async getPayment(
    @Param('orderId', { schema: orderIdSchema }) orderId: string,
    @AfterPosition() after: bigint | undefined,
  ): Promise<Answer<PaymentView>> {
    const query = () => this.queries.execute(new GetPayment(orderId));
    const { found, ...head } = await this.readYourWrites.read(paymentSummary, after, query);
    if (found) return new Answer(paymentViewOf(found), head);
    const detail = 'This order has not been asked to pay, as far as this service knows.';
    throw new Problem(404, 'payment-not-found', detail, head);
  }

  /** A webhook that comes twice, or late, changes nothing. One that is about no payment that is known comes again. */
  @Post('webhooks/payments')
  @UseGuards(SignedByProvider)
  @route(
    "Receives the payment provider's webhooks, which it signs",
    takesHeader(SIGNATURE_HEADER, { required: true, description: 't=<Unix seconds>,v1=<HMAC-SHA256>' }),
    answers(200, 'Received', z.object({ received: z.literal(true) }), positionHeader),
    refuses(401, 'signature-forged', 'signature-stale', 'signature-malformed'),
    refuses(404, 'payment-not-found'),
  )
  async receiveWebhook(
    @Body({ schema: webhook }) { id, type, data }: z.infer<typeof webhook>,
    @RequestCause() cause: Cause,
  ): Promise<Answer<{ received: true }>> {
    const news = data && commandOf(data);
    if (!data || !news) {
      this.count({ type: 'unknown' });
      this.ports.log.warn({ webhook: id, type }, 'A webhook of a kind that is not known here is ignored.');
      return new Answer({ received: true }, {});
    }
    this.count({ type });
    const record = new RecordProviderNews(data.orderId, news, { ...cause, causationId: id });
    const { position } = await this.commands.execute(record);
    return new Answer({ received: true }, { position });
  }

  @Get('simulator/ledger')
  @route('Shows what the simulated provider has charged and given back', answers(200, 'A page', ledgerView))
  async getLedger(
    @Query({ schema: ledgerQuery }) { orderId, after, limit }: z.infer<typeof ledgerQuery>,
  ): Promise<z.infer<typeof ledgerView>> {
    const of = orderId === undefined ? {} : { orderId };
    const [entries, totals] = await Promise.all([
      this.ledger.entries({ ...of, after, limit }),
      this.ledger.totals(orderId),
    ]);
    const last = entries.length === limit ? entries.at(-1) : undefined;
    return {
      entries: entries.map((entry) => ({ ...entry })),
      totals: totalsViewOf(totals),
      ...(last && { next: last.position }),
    };
  }
}
