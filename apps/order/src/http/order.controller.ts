/** Orders and prices over HTTP. */
import { Body, Controller, Get, HttpCode, Inject, Param, Post, Put, Query, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { orderId as orderIdSchema, sku as skuSchema } from '#contracts';
import type { Cause } from '#event-store';
import {
  type After,
  AfterPosition,
  Background,
  documented,
  IdempotencyKey,
  nameBasedId,
  positionHeader,
  preferenceAppliedHeader,
  PreferWait,
  Problem,
  ReadYourWrites,
  refuses,
  RequestCause,
  type Wait,
  WrittenAt,
} from '#nest';
import {
  historyOf,
  historyQuery,
  historyView,
  listOrdersQuery,
  orderPage,
  type OrderView,
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

import { orderSummary } from '../read-models/order-summary.js';
import { priceList } from '../read-models/price-list.js';

/** The kind of thing that an order's id names (UUIDv5): it follows from the customer and the Idempotency-Key. */
const ORDERS = 'b1c7a1de-4f0c-5d3a-9f0e-2d6d3c1f7a11';

const locationHeader = { Location: { description: 'Where the order is', schema: { type: 'string' as const } } };

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
  @documented(({ ApiResponse }) =>
    ApiResponse({
      status: 202,
      description: 'Placed; the answer of the first time, when it was placed before',
      standardSchema: orderView,
      headers: { ...positionHeader, ...preferenceAppliedHeader, ...locationHeader },
    }),
  )
  @documented(({ ApiResponse }) =>
    ApiResponse({
      status: 200,
      description: 'Final, with Prefer: wait',
      standardSchema: orderView,
      headers: { ...positionHeader, ...preferenceAppliedHeader, ...locationHeader },
    }),
  )
  @refuses(422, 'invalid-request', 'unknown-sku', 'duplicate-sku', 'mixed-currencies', 'idempotency-key-reused')
  async place(
    @IdempotencyKey() key: string,
    @Body({ schema: placeOrderBody }) body: z.infer<typeof placeOrderBody>,
    @PreferWait() wait: Wait | undefined,
    @RequestCause() cause: Cause,
    @WrittenAt() writtenAt: (position: bigint) => void,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<OrderView> {
    const { customerId, lines, payment } = body;
    const orderId = nameBasedId(ORDERS, customerId, key);
    const request = { orderId, customerId, lines, paymentToken: payment.token };
    const placed = await this.commands.execute(new PlaceOrder(request, cause));
    reply.header('location', `/orders/${orderId}`);
    writtenAt(placed.position);
    const ended = wait && (await this.awaited(orderId, wait, writtenAt, placed.position));
    if (ended?.settled) {
      reply.status(200);
      return ended;
    }
    // The first answer, whatever has become of the order since.
    const { reason: _, ...view } = viewOf(orderId, placed.order);
    return { ...view, status: 'placed', settled: false };
  }

  /** How the order stands when it is final or the wait is over; `at` is told the position of that. `since`: AwaitOrder. */
  private async awaited(
    orderId: string,
    wait: Wait,
    at: (position: bigint) => void,
    since?: bigint,
  ): Promise<OrderView> {
    const { stopping } = this.background;
    const { order, position } = await this.queries.execute(new AwaitOrder(orderId, wait.ms, stopping, since));
    const view = viewOf(orderId, order);
    if (view.settled || !stopping.aborted) wait.honoured();
    at(position);
    return view;
  }

  @Get('orders')
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Lists orders, the newest first' }))
  @documented(({ ApiResponse }) =>
    ApiResponse({ status: 200, description: 'A page', standardSchema: orderPage, headers: positionHeader }),
  )
  @refuses(422, 'invalid-request')
  async list(
    @Query({ schema: listOrdersQuery }) query: z.infer<typeof listOrdersQuery>,
    @AfterPosition() after: After,
  ): Promise<z.infer<typeof orderPage>> {
    const before = query.cursor === undefined ? undefined : parseCursor(query.cursor);
    const page = new ListOrders(query, before, query.limit + 1);
    const rows = await this.readYourWrites.read(orderSummary, after, () => this.queries.execute(page));
    const items = rows.slice(0, query.limit).map(viewOfRow);
    const last = rows.length > query.limit ? items.at(-1) : undefined;
    return { items, ...(last && { next: cursorOf(last) }) };
  }

  @Get('orders/:orderId')
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Shows an order' }))
  @documented(({ ApiResponse }) =>
    ApiResponse({
      status: 200,
      description: 'The order as the read model has it, or with Prefer: wait as it ended',
      standardSchema: orderView,
      headers: { ...positionHeader, ...preferenceAppliedHeader },
    }),
  )
  @refuses(404, 'order-not-found')
  async get(
    @Param('orderId', { schema: orderIdSchema }) orderId: string,
    @AfterPosition() after: After,
    @PreferWait() wait: Wait | undefined,
  ): Promise<OrderView> {
    const look = () => this.queries.execute(new GetOrder(orderId));
    const row = await this.readYourWrites.read(orderSummary, after, look);
    if (!row) throw notFound();
    const view = viewOfRow(row);
    if (wait && !view.settled) return this.awaited(orderId, wait, after.showing);
    wait?.honoured();
    return view;
  }

  @Get('orders/:orderId/history')
  @documented(({ ApiOperation }) =>
    ApiOperation({ summary: 'Shows what happened to an order, and how it stood at a moment' }),
  )
  @documented(({ ApiResponse }) =>
    ApiResponse({
      status: 200,
      description: 'The events up to then, and the order as they leave it',
      standardSchema: historyView,
      headers: positionHeader,
    }),
  )
  @refuses(404, 'order-not-found', 'order-not-placed-yet')
  @refuses(422, 'invalid-request')
  async history(
    @Param('orderId', { schema: orderIdSchema }) orderId: string,
    @Query({ schema: historyQuery }) query: z.infer<typeof historyQuery>,
    @AfterPosition() after: After,
  ): Promise<z.infer<typeof historyView>> {
    await this.readYourWrites.refuseUnknown(after);
    const events = await this.queries.execute(new GetHistory(orderId));
    const [first, last] = [events[0], events.at(-1)];
    if (!first || !last) throw notFound();
    after.showing(last.position);
    const history = historyOf(orderId, events, query.asOf);
    if (!history) {
      throw new Problem(404, 'order-not-placed-yet', `The order was placed later than that, at ${first.recordedAt}.`);
    }
    return history;
  }

  @Post('orders/:orderId/cancel')
  @HttpCode(202)
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Cancels an order that is not confirmed yet' }))
  @documented(({ ApiResponse }) =>
    ApiResponse({ status: 202, description: 'Called off', standardSchema: orderView, headers: positionHeader }),
  )
  @refuses(404, 'order-not-found')
  @refuses(409, 'order-confirmed')
  async cancel(
    @Param('orderId', { schema: orderIdSchema }) orderId: string,
    @RequestCause() cause: Cause,
    @WrittenAt() writtenAt: (position: bigint) => void,
  ): Promise<OrderView> {
    const { order, position } = await this.commands.execute(new CancelOrder(orderId, cause));
    writtenAt(position);
    return viewOf(orderId, order);
  }

  @Put('prices/:sku')
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Sets the price of a SKU, for the orders to come' }))
  @documented(({ ApiResponse }) =>
    ApiResponse({
      status: 200,
      description: 'Set',
      standardSchema: priceView.omit({ since: true }),
      headers: positionHeader,
    }),
  )
  @refuses(400, 'malformed-json')
  @refuses(422, 'invalid-request')
  async setPrice(
    @Param('sku', { schema: skuSchema }) sku: string,
    @Body({ schema: priceBody }) price: z.infer<typeof priceBody>,
    @RequestCause() cause: Cause,
    @WrittenAt() writtenAt: (position: bigint) => void,
  ): Promise<Omit<z.infer<typeof priceView>, 'since'>> {
    const { position } = await this.commands.execute(new SetPrice(sku, price, cause));
    writtenAt(position);
    return { sku, price };
  }

  @Get('prices')
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Lists the prices' }))
  @documented(({ ApiResponse }) =>
    ApiResponse({
      status: 200,
      description: 'All of them',
      standardSchema: z.object({ items: z.array(priceView) }),
      headers: positionHeader,
    }),
  )
  async prices(@AfterPosition() after: After): Promise<{ items: z.infer<typeof priceView>[] }> {
    const rows = await this.readYourWrites.read(priceList, after, () => this.queries.execute(new ListPrices()));
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
