/** Orders and prices over HTTP. */
import { Body, Controller, Get, HttpCode, Inject, Param, Post, Put, Query, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { orderId as orderIdSchema, sku as skuSchema } from '#contracts';
import type { Cause } from '#event-store';
import {
  AfterPosition,
  Background,
  documented,
  formatPosition,
  IdempotencyKey,
  nameBasedId,
  POSITION_HEADER,
  PreferWait,
  Problem,
  ReadYourWrites,
  RequestCause,
} from '#service';
import {
  historyOf,
  historyQuery,
  historyView,
  listOrdersQuery,
  orderPage,
  orderView,
  placeOrderBody,
  priceBody,
  priceView,
  viewOf,
  viewOfRow,
} from './order.dto.js';
import {
  AwaitOrder,
  CancelOrder,
  GetHistory,
  GetOrder,
  ListOrders,
  ListPrices,
  PlaceOrder,
  SetPrice,
} from './order.handlers.js';

import { orderSummary } from './read-models/order-summary.js';
import { priceList } from './read-models/price-list.js';

/** The kind of thing that an order's id names (UUIDv5): it follows from the customer and the Idempotency-Key. */
const ORDERS = 'b1c7a1de-4f0c-5d3a-9f0e-2d6d3c1f7a11';

@Controller()
export class OrderController {
  constructor(
    @Inject(CommandBus) private readonly commands: CommandBus,
    @Inject(QueryBus) private readonly queries: QueryBus,
    @Inject(ReadYourWrites) private readonly readYourWrites: ReadYourWrites,
    @Inject(Background) private readonly background: Background,
  ) {}

  @Post('orders')
  @HttpCode(202)
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Places an order' }))
  @documented(({ ApiResponse }) => ApiResponse({ status: 202, description: 'Placed', standardSchema: orderView }))
  @documented(({ ApiResponse }) =>
    ApiResponse({ status: 200, description: 'Final, with Prefer: wait', standardSchema: orderView }),
  )
  async place(
    @IdempotencyKey() key: string,
    @Body({ schema: placeOrderBody }) body: z.infer<typeof placeOrderBody>,
    @PreferWait() waitMs: number,
    @RequestCause() cause: Cause,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.infer<typeof orderView>> {
    const { customerId, lines, payment } = body;
    const orderId = nameBasedId(ORDERS, customerId, key);
    const request = { orderId, customerId, lines, paymentToken: payment.token };
    const placed = await this.commands.execute(new PlaceOrder(request, cause));
    reply.header('location', `/orders/${orderId}`);
    reply.header(POSITION_HEADER, formatPosition('order', placed.position));
    // The first answer, whatever has become of the order since.
    const { reason: _, ...view } = viewOf(orderId, placed.order);
    const first = { ...view, status: 'placed' as const, settled: false };
    return waitMs === 0 ? first : this.wait(orderId, waitMs, reply, first);
  }

  /** Holds the answer until the order is final: 200 then, and what there was to say before when it takes too long. */
  private async wait<T>(orderId: string, waitMs: number, reply: FastifyReply, otherwise: T) {
    const { order, position } = await this.queries.execute(new AwaitOrder(orderId, waitMs, this.background.stopping));
    const view = viewOf(orderId, order);
    if (!view.settled) return otherwise;
    reply.status(200);
    reply.header(POSITION_HEADER, formatPosition('order', position));
    return view;
  }

  @Get('orders')
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Lists orders, the newest first' }))
  @documented(({ ApiResponse }) => ApiResponse({ status: 200, standardSchema: orderPage }))
  async list(
    @Query({ schema: listOrdersQuery }) query: z.infer<typeof listOrdersQuery>,
    @AfterPosition() after: bigint | undefined,
  ): Promise<z.infer<typeof orderPage>> {
    const before = query.cursor === undefined ? undefined : parseCursor(query.cursor);
    await this.readYourWrites.caughtUp(orderSummary, after);
    const rows = await this.queries.execute(new ListOrders(query, before, query.limit + 1));
    const items = rows.slice(0, query.limit).map(viewOfRow);
    const last = rows.length > query.limit ? items.at(-1) : undefined;
    return { items, ...(last && { next: cursorOf(last) }) };
  }

  @Get('orders/:orderId')
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Shows an order' }))
  @documented(({ ApiResponse }) => ApiResponse({ status: 200, standardSchema: orderView }))
  async get(
    @Param('orderId', { schema: orderIdSchema }) orderId: string,
    @AfterPosition() after: bigint | undefined,
    @PreferWait() waitMs: number,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.infer<typeof orderView>> {
    await this.readYourWrites.caughtUp(orderSummary, after);
    const row = await this.queries.execute(new GetOrder(orderId));
    if (!row) throw notFound();
    const view = viewOfRow(row);
    return waitMs === 0 || view.settled ? view : this.wait(orderId, waitMs, reply, view);
  }

  @Get('orders/:orderId/history')
  @documented(({ ApiOperation }) =>
    ApiOperation({ summary: 'Shows what happened to an order, and how it stood at a moment' }),
  )
  @documented(({ ApiResponse }) => ApiResponse({ status: 200, standardSchema: historyView }))
  async history(
    @Param('orderId', { schema: orderIdSchema }) orderId: string,
    @Query({ schema: historyQuery }) query: z.infer<typeof historyQuery>,
  ): Promise<z.infer<typeof historyView>> {
    const history = historyOf(orderId, await this.queries.execute(new GetHistory(orderId)), query.asOf);
    if (!history) throw notFound();
    return history;
  }

  @Post('orders/:orderId/cancel')
  @HttpCode(202)
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Cancels an order that is not confirmed yet' }))
  @documented(({ ApiResponse }) => ApiResponse({ status: 202, description: 'Called off', standardSchema: orderView }))
  @documented(({ ApiResponse }) => ApiResponse({ status: 409, description: '`order-confirmed`: too late' }))
  async cancel(
    @Param('orderId', { schema: orderIdSchema }) orderId: string,
    @RequestCause() cause: Cause,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.infer<typeof orderView>> {
    const { order, position } = await this.commands.execute(new CancelOrder(orderId, cause));
    reply.header(POSITION_HEADER, formatPosition('order', position));
    return viewOf(orderId, order);
  }

  @Put('prices/:sku')
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Sets the price of a SKU, for the orders to come' }))
  @documented(({ ApiResponse }) => ApiResponse({ status: 200, standardSchema: priceView.omit({ since: true }) }))
  async setPrice(
    @Param('sku', { schema: skuSchema }) sku: string,
    @Body({ schema: priceBody }) price: z.infer<typeof priceBody>,
    @RequestCause() cause: Cause,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Omit<z.infer<typeof priceView>, 'since'>> {
    const { position } = await this.commands.execute(new SetPrice(sku, price, cause));
    reply.header(POSITION_HEADER, formatPosition('order', position));
    return { sku, price };
  }

  @Get('prices')
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Lists the prices' }))
  @documented(({ ApiResponse }) =>
    ApiResponse({ status: 200, standardSchema: z.object({ items: z.array(priceView) }) }),
  )
  async prices(@AfterPosition() after: bigint | undefined): Promise<{ items: z.infer<typeof priceView>[] }> {
    await this.readYourWrites.caughtUp(priceList, after);
    const rows = await this.queries.execute(new ListPrices());
    return {
      items: rows.map(({ sku, amountMinor, currency, since }) => ({
        sku,
        price: { amountMinor: Number(amountMinor), currency },
        since: since.toISOString(),
      })),
    };
  }
}

function notFound(): Problem {
  return new Problem(404, 'order-not-found', 'There is no such order.');
}

/** Where a page ended, as text for a URL. */
function cursorOf({ placedAt, orderId }: { placedAt: string; orderId: string }): string {
  return Buffer.from(`${placedAt} ${orderId}`).toString('base64url');
}

function parseCursor(cursor: string): { placedAt: Date; orderId: string } {
  const [placedAt = '', orderId] = Buffer.from(cursor, 'base64url').toString().split(' ');
  const at = new Date(placedAt);
  if (Number.isNaN(at.getTime()) || !orderIdSchema.safeParse(orderId).success) {
    throw new Problem(
      422,
      'invalid-request',
      'The cursor is not one that this service gave out: send `next` of the page before.',
      {
        errors: [{ parameter: 'cursor', code: 'invalid', detail: 'Not a cursor of this service.' }],
      },
    );
  }
  return { placedAt: at, orderId: orderId! };
}
