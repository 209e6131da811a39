/**
 * The commands and queries of the inventory service on Nest's buses. The buses keep HTTP apart from what answers it: controllers
 * name what they want, and each handler is one call of the service or one Prisma query.
 */
import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { PrismaClient, type ReservationSummary, type StockLevel } from '../../../../prisma/inventory/client/client.js';
import type { Cause } from '#event-store';
import { INVENTORY_SERVICE, type InventoryService } from '../service.js';
import type { BookingAnswer } from '../domain/entry.js';

/** Books a receipt or a recount. */
export class BookStock extends Command<{ result: BookingAnswer; position: bigint }> {
  constructor(
    readonly entry: Parameters<InventoryService['bookStock']>[0],
    readonly cause: Cause,
  ) {
    super();
  }
}

@CommandHandler(BookStock)
export class BookStockHandler implements ICommandHandler<BookStock> {
  constructor(@Inject(INVENTORY_SERVICE) private readonly inventory: InventoryService) {}

  execute({ entry, cause }: BookStock): Promise<{ result: BookingAnswer; position: bigint }> {
    return this.inventory.bookStock(entry, cause);
  }
}

export class GetStock extends Query<StockLevel | null> {
  constructor(readonly sku: string) {
    super();
  }
}

@QueryHandler(GetStock)
export class GetStockHandler implements IQueryHandler<GetStock> {
  constructor(private readonly prisma: PrismaClient) {}

  execute({ sku }: GetStock): Promise<StockLevel | null> {
    return this.prisma.stockLevel.findUnique({ where: { sku } });
  }
}

/** By SKU; `after` is the last SKU of the previous page. */
export class ListStock extends Query<StockLevel[]> {
  constructor(
    readonly after: string | undefined,
    readonly limit: number,
  ) {
    super();
  }
}

@QueryHandler(ListStock)
export class ListStockHandler implements IQueryHandler<ListStock> {
  constructor(private readonly prisma: PrismaClient) {}

  execute({ after, limit }: ListStock): Promise<StockLevel[]> {
    const where = after === undefined ? {} : { sku: { gt: after } };
    return this.prisma.stockLevel.findMany({ where, orderBy: { sku: 'asc' }, take: limit });
  }
}

export class GetReservation extends Query<ReservationSummary | null> {
  constructor(readonly orderId: string) {
    super();
  }
}

@QueryHandler(GetReservation)
export class GetReservationHandler implements IQueryHandler<GetReservation> {
  constructor(private readonly prisma: PrismaClient) {}

  execute({ orderId }: GetReservation): Promise<ReservationSummary | null> {
    return this.prisma.reservationSummary.findUnique({ where: { orderId } });
  }
}

export const handlers = [BookStockHandler, GetStockHandler, ListStockHandler, GetReservationHandler];
