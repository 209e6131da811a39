/**
 * The commands and queries of the order service on Nest's buses. The buses keep HTTP apart from what answers it: controllers
 * name what they want, and each handler is one call of the service or one Prisma query.
 */
import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { type OrderSummary, type Price as PriceRow, PrismaClient } from '../../../../prisma/order/client/client.js';
import type { Cause, RecordedEvent } from '#event-store';
import type { OrderEvent } from '../domain/order.js';
import type { Erasure } from '../personal-data.js';
import type { Recipient, RecipientOf } from '../recipient.js';
import { type KnownOrder, ORDER_SERVICE, type OrderService, type PlaceRequest } from '../service.js';

export class PlaceOrder extends Command<KnownOrder> {
  constructor(
    readonly request: PlaceRequest,
    readonly cause: Cause,
  ) {
    super();
  }
}

@CommandHandler(PlaceOrder)
export class PlaceOrderHandler implements ICommandHandler<PlaceOrder> {
  constructor(@Inject(ORDER_SERVICE) private readonly orders: OrderService) {}

  execute({ request, cause }: PlaceOrder): Promise<KnownOrder> {
    return this.orders.place(request, cause);
  }
}

/** `owner` is whose order it has to be, here and in the queries; undefined: anybody's. */
export class CancelOrder extends Command<KnownOrder> {
  constructor(
    readonly orderId: string,
    readonly owner: string | undefined,
    readonly cause: Cause,
  ) {
    super();
  }
}

@CommandHandler(CancelOrder)
export class CancelOrderHandler implements ICommandHandler<CancelOrder> {
  constructor(@Inject(ORDER_SERVICE) private readonly orders: OrderService) {}

  execute({ orderId, owner, cause }: CancelOrder): Promise<KnownOrder> {
    return this.orders.cancel(orderId, owner, cause);
  }
}

export class SetPrice extends Command<{ position: bigint }> {
  constructor(
    readonly sku: string,
    readonly price: { amountMinor: number; currency: string },
    readonly cause: Cause,
  ) {
    super();
  }
}

@CommandHandler(SetPrice)
export class SetPriceHandler implements ICommandHandler<SetPrice> {
  constructor(@Inject(ORDER_SERVICE) private readonly orders: OrderService) {}

  execute({ sku, price, cause }: SetPrice): Promise<{ position: bigint }> {
    return this.orders.setPrice(sku, price, cause);
  }
}

export class WithdrawPrice extends Command<{ position: bigint }> {
  constructor(
    readonly sku: string,
    readonly cause: Cause,
  ) {
    super();
  }
}

@CommandHandler(WithdrawPrice)
export class WithdrawPriceHandler implements ICommandHandler<WithdrawPrice> {
  constructor(@Inject(ORDER_SERVICE) private readonly orders: OrderService) {}

  execute({ sku, cause }: WithdrawPrice): Promise<{ position: bigint }> {
    return this.orders.withdrawPrice(sku, cause);
  }
}

/**
 * The order once it is settled, or after `waitMs` milliseconds. Pass `since` when you have just written at that position: the
 * cached state is then used without a read.
 */
export class AwaitOrder extends Query<KnownOrder> {
  constructor(
    readonly orderId: string,
    readonly owner: string | undefined,
    readonly waitMs: number,
    readonly signal: AbortSignal,
    readonly since?: bigint,
  ) {
    super();
  }
}

@QueryHandler(AwaitOrder)
export class AwaitOrderHandler implements IQueryHandler<AwaitOrder> {
  constructor(@Inject(ORDER_SERVICE) private readonly orders: OrderService) {}

  execute({ orderId, owner, waitMs, signal, since }: AwaitOrder): Promise<KnownOrder> {
    return this.orders.awaitSettled(orderId, owner, waitMs, signal, since);
  }
}

export class GetHistory extends Query<RecordedEvent<OrderEvent>[]> {
  constructor(
    readonly orderId: string,
    readonly owner: string | undefined,
  ) {
    super();
  }
}

@QueryHandler(GetHistory)
export class GetHistoryHandler implements IQueryHandler<GetHistory> {
  constructor(@Inject(ORDER_SERVICE) private readonly orders: OrderService) {}

  execute({ orderId, owner }: GetHistory): Promise<RecordedEvent<OrderEvent>[]> {
    return this.orders.history(orderId, owner);
  }
}

export class GetOrder extends Query<OrderSummary | null> {
  constructor(
    readonly orderId: string,
    readonly owner: string | undefined,
  ) {
    super();
  }
}

@QueryHandler(GetOrder)
export class GetOrderHandler implements IQueryHandler<GetOrder> {
  constructor(private readonly prisma: PrismaClient) {}

  execute({ orderId, owner }: GetOrder): Promise<OrderSummary | null> {
    return this.prisma.orderSummary.findUnique({
      where: { orderId, ...(owner !== undefined && { customerId: owner }) },
    });
  }
}

/** Newest first; `after` is the place of the last order of the previous page: its `placedAt` and `orderId`. */
export class ListOrders extends Query<OrderSummary[]> {
  constructor(
    readonly filter: { customerId?: string | undefined; status?: string | undefined },
    readonly after: readonly [string, string] | undefined,
    readonly limit: number,
  ) {
    super();
  }
}

@QueryHandler(ListOrders)
export class ListOrdersHandler implements IQueryHandler<ListOrders> {
  constructor(private readonly prisma: PrismaClient) {}

  execute({ filter: { customerId, status }, after, limit }: ListOrders): Promise<OrderSummary[]> {
    const [placedAt, orderId] = after ?? [];
    // The first condition is where the scan of the index begins; the other leaves out orders of that same moment.
    const older = placedAt && {
      placedAt: { lte: placedAt },
      OR: [{ placedAt: { lt: placedAt } }, { orderId: { lt: orderId } }],
    };
    return this.prisma.orderSummary.findMany({
      where: { ...(customerId !== undefined && { customerId }), ...(status && { status }), ...older },
      orderBy: [{ placedAt: 'desc' }, { orderId: 'desc' }],
      take: limit,
    });
  }
}

/** By SKU; `after` is the last SKU of the previous page. */
export class ListPrices extends Query<PriceRow[]> {
  constructor(
    readonly after: string | undefined,
    readonly limit: number,
  ) {
    super();
  }
}

@QueryHandler(ListPrices)
export class ListPricesHandler implements IQueryHandler<ListPrices> {
  constructor(private readonly prisma: PrismaClient) {}

  execute({ after, limit }: ListPrices): Promise<PriceRow[]> {
    const where = after === undefined ? {} : { sku: { gt: after } };
    return this.prisma.price.findMany({ where, orderBy: { sku: 'asc' }, take: limit });
  }
}

export class RequestErasure extends Command<Erasure> {
  constructor(
    readonly customerId: string,
    readonly cause: Cause,
  ) {
    super();
  }
}

@CommandHandler(RequestErasure)
export class RequestErasureHandler implements ICommandHandler<RequestErasure> {
  constructor(@Inject(ORDER_SERVICE) private readonly orders: OrderService) {}

  execute({ customerId, cause }: RequestErasure): Promise<Erasure> {
    return this.orders.personalData.requestErasure(customerId, cause);
  }
}

export class GetErasure extends Query<Erasure> {
  constructor(readonly customerId: string) {
    super();
  }
}

@QueryHandler(GetErasure)
export class GetErasureHandler implements IQueryHandler<GetErasure> {
  constructor(@Inject(ORDER_SERVICE) private readonly orders: OrderService) {}

  execute({ customerId }: GetErasure): Promise<Erasure> {
    return this.orders.personalData.erasureOf(customerId);
  }
}

/** A recipient in the clear; null when it has been erased, at the position `since` at the latest. */
export class OpenRecipient extends Query<Recipient | null> {
  constructor(
    readonly sealed: string,
    readonly of: RecipientOf,
    readonly since: bigint | undefined,
  ) {
    super();
  }
}

@QueryHandler(OpenRecipient)
export class OpenRecipientHandler implements IQueryHandler<OpenRecipient> {
  constructor(@Inject(ORDER_SERVICE) private readonly orders: OrderService) {}

  execute({ sealed, of, since }: OpenRecipient): Promise<Recipient | null> {
    return this.orders.personalData.open(sealed, of, since);
  }
}

export const handlers = [
  PlaceOrderHandler,
  CancelOrderHandler,
  SetPriceHandler,
  WithdrawPriceHandler,
  AwaitOrderHandler,
  GetHistoryHandler,
  GetOrderHandler,
  ListOrdersHandler,
  ListPricesHandler,
  RequestErasureHandler,
  GetErasureHandler,
  OpenRecipientHandler,
];
