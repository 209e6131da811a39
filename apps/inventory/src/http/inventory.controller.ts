/** Stock and reservations over HTTP. */
import { Body, Controller, Get, Inject, Param, Post, Query } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { z } from 'zod';
import { orderId as orderIdSchema, sku as skuSchema } from '#contracts';
import type { Cause } from '#event-store';
import {
  AfterPosition,
  Answer,
  answers,
  IdempotencyKey,
  nameBasedIds,
  positionHeader,
  Problem,
  readHeaders,
  ReadYourWrites,
  refuses,
  RequestCaller,
  RequestCause,
  route,
  toPage,
} from '#nest';
import type { Caller } from '#service';
import type { Booking } from '../domain/entry.js';
import { reservationSummary } from '../read-models/reservation-summary.js';
import { stockLevel } from '../read-models/stock-level.js';
import {
  listStockQuery,
  receiptBody,
  recountBody,
  type RecountView,
  recountView,
  type ReservationView,
  reservationView,
  reservationViewOf,
  type StockPage,
  stockPage,
  type StockView,
  stockView,
  stockViewOf,
} from './inventory.dto.js';
import { BookStock, GetReservation, GetStock, ListStock } from './inventory.handlers.js';

/** The UUIDv5 namespace of entry ids: an id is determined by the caller, the SKU and the Idempotency-Key. */
const entryIdOf = nameBasedIds('5a0b7f7c-9c1e-5b0e-8a57-1f3f2f0c9b22');

const UNBOOKABLE = ['stock-out-of-range', 'idempotency-key-reused'] as const;

@Controller()
export class InventoryController {
  constructor(
    @Inject(CommandBus) private readonly commands: CommandBus,
    @Inject(QueryBus) private readonly queries: QueryBus,
    @Inject(ReadYourWrites) private readonly readYourWrites: ReadYourWrites,
  ) {}

  @Post('stock/:sku/receipts')
  @route(
    'Books units that came in',
    answers(201, 'The stock afterwards; the first answer again if it was booked before', stockView, positionHeader),
    refuses(422, ...UNBOOKABLE),
  )
  receiveStock(
    @IdempotencyKey() key: string,
    @Param('sku', { schema: skuSchema }) sku: string,
    @Body({ schema: receiptBody }) { quantity }: z.infer<typeof receiptBody>,
    @RequestCaller() caller: Caller,
    @RequestCause() cause: Cause,
  ): Promise<Answer<StockView>> {
    return this.bookStock(key, { kind: 'receipt', sku, quantity }, caller, cause);
  }

  @Post('stock/:sku/recounts')
  @route(
    'Corrects the books by what was counted on the shelf',
    answers(
      201,
      'The stock afterwards, and what was corrected; the first answer again if it was booked before',
      recountView,
      positionHeader,
    ),
    refuses(422, ...UNBOOKABLE, 'unknown-position'),
    refuses(409, 'reserved-stock-missing'),
  )
  recountStock(
    @IdempotencyKey() key: string,
    @Param('sku', { schema: skuSchema }) sku: string,
    @Body({ schema: recountBody }) { counted, asOf }: z.infer<typeof recountBody>,
    @RequestCaller() caller: Caller,
    @RequestCause() cause: Cause,
  ): Promise<Answer<RecountView>> {
    const at = asOf === undefined ? {} : { asOf: asOf.slice('inventory:'.length) };
    return this.bookStock(key, { kind: 'recount', sku, quantity: counted, ...at }, caller, cause);
  }

  private async bookStock(
    key: string,
    booking: Booking,
    { subject }: Caller,
    cause: Cause,
  ): Promise<Answer<RecountView>> {
    const { sku } = booking;
    const entryId = entryIdOf(subject, sku, key);
    const { result, position } = await this.commands.execute(new BookStock({ entryId, ...booking }, cause));
    return new Answer({ sku, ...result }, { position });
  }

  @Get('stock')
  @route('Lists the stock, by SKU', answers(200, 'A page', stockPage, readHeaders), refuses(422, 'invalid-request'))
  async listStock(
    @Query({ schema: listStockQuery }) { cursor, limit }: z.infer<typeof listStockQuery>,
    @AfterPosition() after: bigint | undefined,
  ): Promise<Answer<StockPage>> {
    const query = () => this.queries.execute(new ListStock(cursor?.[0], limit + 1));
    const { found, ...head } = await this.readYourWrites.read(stockLevel, after, query);
    return new Answer(
      toPage(found, limit, stockViewOf, ({ sku }) => [sku]),
      head,
    );
  }

  @Get('stock/:sku')
  @route('Shows the stock of a SKU', answers(200, 'Its stock', stockView, readHeaders), refuses(404, 'stock-not-found'))
  async getStock(
    @Param('sku', { schema: skuSchema }) sku: string,
    @AfterPosition() after: bigint | undefined,
  ): Promise<Answer<StockView>> {
    const query = () => this.queries.execute(new GetStock(sku));
    const { found, ...head } = await this.readYourWrites.read(stockLevel, after, query);
    if (!found) throw new Problem(404, 'stock-not-found', `There has never been any stock of "${sku}".`, head);
    return new Answer(stockViewOf(found), head);
  }

  @Get('reservations/:orderId')
  @route(
    'Shows what an order holds of the stock',
    answers(200, 'Its lines, and what became of them', reservationView, readHeaders),
    refuses(404, 'reservation-not-found'),
  )
  async getReservation(
    @Param('orderId', { schema: orderIdSchema }) orderId: string,
    @AfterPosition() after: bigint | undefined,
  ): Promise<Answer<ReservationView>> {
    const query = () => this.queries.execute(new GetReservation(orderId));
    const { found, ...head } = await this.readYourWrites.read(reservationSummary, after, query);
    if (found) return new Answer(reservationViewOf(found), head);
    const detail = 'This order has not asked for stock, as far as this service knows.';
    throw new Problem(404, 'reservation-not-found', detail, head);
  }
}
