/**
 * The commands and queries of the payment service on Nest's buses. The buses keep HTTP apart from what answers it: controllers
 * name what they want, and each handler is one call of the service or one Prisma query.
 */
import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { type PaymentSummary, PrismaClient } from '../../../../prisma/payment/client/client.js';
import type { Cause } from '#event-store';
import type { PaymentCommand } from '../domain/payment.js';
import { PAYMENT_SERVICE, type PaymentService } from '../service.js';

/** Writes down what the provider said of a payment. */
export class RecordProviderNews extends Command<{ position: bigint }> {
  constructor(
    readonly orderId: string,
    readonly news: PaymentCommand,
    readonly cause: Cause,
  ) {
    super();
  }
}

@CommandHandler(RecordProviderNews)
export class RecordProviderNewsHandler implements ICommandHandler<RecordProviderNews> {
  constructor(@Inject(PAYMENT_SERVICE) private readonly payments: PaymentService) {}

  execute({ orderId, news, cause }: RecordProviderNews): Promise<{ position: bigint }> {
    return this.payments.record(orderId, news, cause);
  }
}

export class GetPayment extends Query<PaymentSummary | null> {
  constructor(readonly orderId: string) {
    super();
  }
}

@QueryHandler(GetPayment)
export class GetPaymentHandler implements IQueryHandler<GetPayment> {
  constructor(private readonly prisma: PrismaClient) {}

  execute({ orderId }: GetPayment): Promise<PaymentSummary | null> {
    return this.prisma.paymentSummary.findUnique({ where: { orderId } });
  }
}

export const handlers = [RecordProviderNewsHandler, GetPaymentHandler];
