/** Stock and reservations over HTTP. */
import { Body, Controller, Get, HttpCode, Inject, Param, Post } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { z } from 'zod';
import { orderId as orderIdSchema, sku as skuSchema } from '#contracts';
import type { Cause } from '#event-store';
import {
  type After,
  AfterPosition,
  documented,
  IdempotencyKey,
  nameBasedId,
  positionHeader,
  Problem,
  ReadYourWrites,
  refuses,
  RequestCause,
  WrittenAt,
} from '#nest';
import {
  receiptBody,
  recountBody,
  reservationView,
  reservationViewOf,
  stockView,
  stockViewOf,
} from './inventory.dto.js';
import { BookStock, GetReservation, GetStock, ListStock } from './inventory.handlers.js';

import { reservationSummary } from '../read-models/reservation-summary.js';
import { stockLevel } from '../read-models/stock-level.js';

/** The kind of thing that an entry's id names (UUIDv5): it follows from the SKU and the Idempotency-Key. */
const ENTRIES = '5a0b7f7c-9c1e-5b0e-8a57-1f3f2f0c9b22';

type StockView = z.infer<typeof stockView>;

@Controller()
export class InventoryController {
  constructor(
    @Inject(CommandBus) private readonly commands: CommandBus,
    @Inject(QueryBus) private readonly queries: QueryBus,
    @Inject(ReadYourWrites) private readonly readYourWrites: ReadYourWrites,
  ) {}

  @Post('stock/:sku/receipts')
  @HttpCode(201)
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Books units that came in' }))
  @documented(({ ApiResponse }) =>
    ApiResponse({ status: 201, description: 'The stock after it', standardSchema: stockView, headers: positionHeader }),
  )
  @refuses(422, 'invalid-request', 'stock-out-of-range', 'idempotency-key-reused')
  receive(
    @IdempotencyKey() key: string,
    @Param('sku', { schema: skuSchema }) sku: string,
    @Body({ schema: receiptBody }) { quantity }: z.infer<typeof receiptBody>,
    @RequestCause() cause: Cause,
    @WrittenAt() writtenAt: (position: bigint) => void,
  ): Promise<StockView> {
    return this.enter(key, 'receipt', sku, quantity, cause, writtenAt);
  }

  @Post('stock/:sku/recounts')
  @HttpCode(201)
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Corrects the books to what was counted on the shelf' }))
  @documented(({ ApiResponse }) =>
    ApiResponse({ status: 201, description: 'The stock after it', standardSchema: stockView, headers: positionHeader }),
  )
  @refuses(422, 'invalid-request', 'stock-out-of-range', 'idempotency-key-reused')
  @refuses(409, 'reserved-stock-missing')
  recount(
    @IdempotencyKey() key: string,
    @Param('sku', { schema: skuSchema }) sku: string,
    @Body({ schema: recountBody }) { counted }: z.infer<typeof recountBody>,
    @RequestCause() cause: Cause,
    @WrittenAt() writtenAt: (position: bigint) => void,
  ): Promise<StockView> {
    return this.enter(key, 'recount', sku, counted, cause, writtenAt);
  }

  private async enter(
    key: string,
    kind: 'receipt' | 'recount',
    sku: string,
    quantity: number,
    cause: Cause,
    writtenAt: (position: bigint) => void,
  ): Promise<StockView> {
    const entryId = nameBasedId(ENTRIES, sku, key);
    const { result, position } = await this.commands.execute(new BookStock({ entryId, kind, sku, quantity }, cause));
    writtenAt(position);
    return { sku, ...result };
  }

  @Get('stock')
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Lists the stock' }))
  @documented(({ ApiResponse }) =>
    ApiResponse({
      status: 200,
      description: 'All of it',
      standardSchema: z.object({ items: z.array(stockView) }),
      headers: positionHeader,
    }),
  )
  async list(@AfterPosition() after: After): Promise<{ items: StockView[] }> {
    const rows = await this.readYourWrites.read(stockLevel, after, () => this.queries.execute(new ListStock()));
    return { items: rows.map(stockViewOf) };
  }

  @Get('stock/:sku')
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Shows the stock of a SKU' }))
  @documented(({ ApiResponse }) =>
    ApiResponse({ status: 200, description: 'Its stock', standardSchema: stockView, headers: positionHeader }),
  )
  @refuses(404, 'stock-not-found')
  async get(@Param('sku', { schema: skuSchema }) sku: string, @AfterPosition() after: After): Promise<StockView> {
    const row = await this.readYourWrites.read(stockLevel, after, () => this.queries.execute(new GetStock(sku)));
    if (!row) throw new Problem(404, 'stock-not-found', `There has never been any stock of "${sku}".`);
    return stockViewOf(row);
  }

  @Get('reservations/:orderId')
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Shows what an order holds of the stock' }))
  @documented(({ ApiResponse }) =>
    ApiResponse({
      status: 200,
      description: 'Its lines, and what became of them',
      standardSchema: reservationView,
      headers: positionHeader,
    }),
  )
  @refuses(404, 'reservation-not-found')
  async reservation(
    @Param('orderId', { schema: orderIdSchema }) orderId: string,
    @AfterPosition() after: After,
  ): Promise<z.infer<typeof reservationView>> {
    const look = () => this.queries.execute(new GetReservation(orderId));
    const row = await this.readYourWrites.read(reservationSummary, after, look);
    if (!row)
      throw new Problem(404, 'reservation-not-found', 'This order has not asked for stock, as far as is known here.');
    return reservationViewOf(row);
  }
}
