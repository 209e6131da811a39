/** Orders and prices over HTTP. */
import { Body, Controller, Delete, Get, Inject, Param, Post, Put, Query } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { z } from 'zod';
import { orderId as orderIdSchema, sku as skuSchema } from '#contracts';
import type { Cause } from '#event-store';
import {
  Answer,
  answerPosition,
  answers,
  AfterPosition,
  Background,
  IdempotencyKey,
  nameBasedIds,
  positionHeader,
  preferenceAppliedHeader,
  PreferWait,
  Problem,
  readHeaders,
  ReadYourWrites,
  refuses,
  RequestCaller,
  RequestCause,
  route,
  toPage,
  WriteHead,
} from '#nest';
import type { Caller } from '#service';
import { customerOf, ownerFor } from './customer.js';
import { orderSummary } from '../read-models/order-summary.js';
import { priceList } from '../read-models/price-list.js';
import {
  historyOf,
  historyQuery,
  historyView,
  listOrdersQuery,
  listPricesQuery,
  type OrderPage,
  orderPage,
  type OrderView,
  orderView,
  placeOrderBody,
  priceBody,
  type PricePage,
  pricePage,
  priceView,
  priceViewOf,
  viewOf,
  viewOfRow,
  withdrawnView,
} from './order.dto.js';
import {
  AwaitOrder,
  CancelOrder,
  GetHistory,
  GetOrder,
  ListOrders,
  ListPrices,
  OpenRecipient,
  PlaceOrder,
  SetPrice,
  WithdrawPrice,
} from './order.handlers.js';

/** The UUIDv5 namespace of order ids: an id is determined by the caller and the Idempotency-Key. */
const orderIdOf = nameBasedIds('b1c7a1de-4f0c-5d3a-9f0e-2d6d3c1f7a11');

const locationHeader = { Location: { description: 'Path of the order', schema: { type: 'string' as const } } };
const shownHeaders = [readHeaders, preferenceAppliedHeader];
const placedHeaders = [positionHeader, preferenceAppliedHeader, locationHeader];

@Controller()
export class OrderController {
  constructor(
    @Inject(CommandBus) private readonly commands: CommandBus,
    @Inject(QueryBus) private readonly queries: QueryBus,
    @Inject(ReadYourWrites) private readonly readYourWrites: ReadYourWrites,
    @Inject(Background) private readonly background: Background,
  ) {}

  @Post('orders')
  @route(
    'Places an order',
    answers(202, 'Placed; the first answer again if it was placed before', orderView, ...placedHeaders),
    answers(200, 'Final, with Prefer: wait', orderView, ...placedHeaders),
    refuses(409, 'price-changed', 'too-many-open-orders'),
    refuses(422, 'unknown-sku', 'duplicate-sku', 'mixed-currencies', 'total-out-of-range', 'idempotency-key-reused'),
  )
  async placeOrder(
    @IdempotencyKey() key: string,
    @Body({ schema: placeOrderBody }) body: z.infer<typeof placeOrderBody>,
    @AfterPosition() after: bigint | undefined,
    @PreferWait() waitMs: number | undefined,
    @RequestCaller() caller: Caller,
    @RequestCause() cause: Cause,
    @WriteHead() writeHead: WriteHead,
  ): Promise<Answer<OrderView>> {
    await this.readYourWrites.refuseUnknown(after);
    const { lines, payment, recipient, expectedTotal } = body;
    const customerId = customerOf(caller, body.customerId);
    const orderId = orderIdOf(caller.subject, key);
    const paymentToken = payment.token;
    const request = { orderId, customerId, lines, paymentToken, recipient, expectedTotal, since: after };
    const { order, position } = await this.commands.execute(new PlaceOrder(request, cause));
    // From here on the order exists, whatever becomes of the wait.
    writeHead({ position, location: `/orders/${orderId}` });
    const awaited = waitMs === undefined ? undefined : await this.awaitOrder(orderId, customerId, waitMs, position);
    if (awaited?.body.settled) return new Answer(awaited.body, { ...awaited.head, status: 200 });
    // The first answer, whatever has become of the order since.
    const { reason: _, ...view } = viewOf(orderId, order);
    return new Answer({ ...view, status: 'placed', settled: false }, awaited?.head);
  }

  @Get('orders')
  @route('Lists orders, newest first', answers(200, 'A page', orderPage, readHeaders))
  async listOrders(
    @Query({ schema: listOrdersQuery }) query: z.infer<typeof listOrdersQuery>,
    @AfterPosition() after: bigint | undefined,
    @RequestCaller() caller: Caller,
  ): Promise<Answer<OrderPage>> {
    const { cursor, limit, status } = query;
    const customerId = ownerFor(caller, query.customerId);
    const page = new ListOrders({ customerId, status }, cursor, limit + 1);
    const { found, ...head } = await this.readYourWrites.read(orderSummary, after, () => this.queries.execute(page));
    return new Answer(
      toPage(found, limit, viewOfRow, ({ placedAt, orderId }) => [placedAt.toISOString(), orderId]),
      head,
    );
  }

  @Get('orders/:orderId')
  @route(
    'Shows an order',
    answers(200, 'The order as the read model has it, or with Prefer: wait as it ended', orderView, ...shownHeaders),
    refuses(404, 'order-not-found'),
  )
  async getOrder(
    @Param('orderId', { schema: orderIdSchema }) orderId: string,
    @AfterPosition() after: bigint | undefined,
    @PreferWait() waitMs: number | undefined,
    @RequestCaller() caller: Caller,
  ): Promise<Answer<OrderView>> {
    const owner = ownerFor(caller);
    const query = () => this.queries.execute(new GetOrder(orderId, owner));
    const { found, ...read } = await this.readYourWrites.read(orderSummary, after, query);
    if (!found) throw orderNotFound(read.position);
    const view = viewOfRow(found);
    const recipient = () => this.recipientOf(view, found.recipient, caller, after);
    if (waitMs === undefined || view.settled) {
      return new Answer({ ...view, ...(await recipient()) }, { ...read, waitedMs: waitMs });
    }
    const { body, head } = await this.awaitOrder(orderId, owner, waitMs);
    const shown = { ...body, ...(await recipient()) };
    return new Answer(shown, { ...head, position: answerPosition(after, head.position) });
  }

  /** Who an order is sent to, for its customer and for a clerk: an operator has no need to know. */
  private async recipientOf(
    { customerId, orderId }: OrderView,
    sealed: string | null | undefined,
    caller: Caller,
    after: bigint | undefined,
  ): Promise<Pick<OrderView, 'recipient'>> {
    const mayKnow = caller.whose === 'own' || caller.roles.includes('clerk');
    if (!sealed || !mayKnow) return {};
    return { recipient: await this.queries.execute(new OpenRecipient(sealed, { customerId, orderId }, after)) };
  }

  /**
   * Answers with the order when it is final or the wait is over. `since` is the position of a write that was just made:
   * see AwaitOrder.
   */
  private async awaitOrder(orderId: string, owner: string | undefined, waitMs: number, since?: bigint) {
    const { stopping } = this.background;
    const { order, position } = await this.queries.execute(new AwaitOrder(orderId, owner, waitMs, stopping, since));
    const body = viewOf(orderId, order);
    // A service that stops cuts the wait short: then it was not granted.
    const waitedMs = body.settled || !stopping.aborted ? waitMs : undefined;
    return { body, head: { position, waitedMs } };
  }

  @Get('orders/:orderId/history')
  @route(
    'Shows what happened to an order, and the order as it was at a given moment',
    answers(200, 'The events up to that moment, and the order after them', historyView, positionHeader),
    refuses(404, 'order-not-found', 'order-not-placed-yet'),
  )
  async getOrderHistory(
    @Param('orderId', { schema: orderIdSchema }) orderId: string,
    @Query({ schema: historyQuery }) query: z.infer<typeof historyQuery>,
    @AfterPosition() after: bigint | undefined,
    @RequestCaller() caller: Caller,
  ): Promise<Answer<z.infer<typeof historyView>>> {
    await this.readYourWrites.refuseUnknown(after);
    const events = await this.queries.execute(new GetHistory(orderId, ownerFor(caller)));
    const first = events[0];
    const last = events.at(-1);
    if (!first || !last) throw orderNotFound();
    const position = answerPosition(after, last.position);
    const isForStaff = caller.whose === 'any';
    const history = historyOf(orderId, events, query.asOf, isForStaff);
    if (history) {
      const sealed = first.type === 'OrderPlaced' ? first.data.recipient : undefined;
      const recipient = await this.recipientOf(history.order, sealed, caller, after);
      return new Answer({ ...history, order: { ...history.order, ...recipient } }, { position });
    }
    const placed = historyOf(orderId, events, first.revision, isForStaff)?.order;
    const detail = `The order was placed later than that, at ${placed?.placedAt}.`;
    throw new Problem(404, 'order-not-placed-yet', detail, { position });
  }

  @Post('orders/:orderId/cancel')
  @route(
    'Cancels an order that is not confirmed yet',
    answers(202, 'Cancelled', orderView, positionHeader),
    refuses(404, 'order-not-found'),
    refuses(409, 'order-confirmed'),
  )
  async cancelOrder(
    @Param('orderId', { schema: orderIdSchema }) orderId: string,
    @RequestCaller() caller: Caller,
    @RequestCause() cause: Cause,
  ): Promise<Answer<OrderView>> {
    const { order, position } = await this.commands.execute(new CancelOrder(orderId, ownerFor(caller), cause));
    return new Answer(viewOf(orderId, order), { position });
  }

  @Put('prices/:sku')
  @route(
    'Sets the price of a SKU for future orders',
    answers(200, 'Set', priceView.omit({ since: true }), positionHeader),
  )
  async setPrice(
    @Param('sku', { schema: skuSchema }) sku: string,
    @Body({ schema: priceBody }) price: z.infer<typeof priceBody>,
    @RequestCause() cause: Cause,
  ): Promise<Answer<Omit<z.infer<typeof priceView>, 'since'>>> {
    const { position } = await this.commands.execute(new SetPrice(sku, price, cause));
    return new Answer({ sku, price }, { position });
  }

  @Delete('prices/:sku')
  @route(
    'Takes a SKU out of sale, until its price is set again',
    answers(
      200,
      'Withdrawn: it can no longer be ordered, and orders that were placed before go on',
      withdrawnView,
      positionHeader,
    ),
    refuses(404, 'price-not-found'),
  )
  async withdrawPrice(
    @Param('sku', { schema: skuSchema }) sku: string,
    @RequestCause() cause: Cause,
  ): Promise<Answer<z.infer<typeof withdrawnView>>> {
    const { position } = await this.commands.execute(new WithdrawPrice(sku, cause));
    return new Answer({ sku }, { position });
  }

  @Get('prices')
  @route('Lists the prices, by SKU', answers(200, 'A page', pricePage, readHeaders), refuses(422, 'invalid-request'))
  async listPrices(
    @Query({ schema: listPricesQuery }) { cursor, limit }: z.infer<typeof listPricesQuery>,
    @AfterPosition() after: bigint | undefined,
  ): Promise<Answer<PricePage>> {
    const query = () => this.queries.execute(new ListPrices(cursor?.[0], limit + 1));
    const { found, ...head } = await this.readYourWrites.read(priceList, after, query);
    return new Answer(
      toPage(found, limit, priceViewOf, ({ sku }) => [sku]),
      head,
    );
  }
}

function orderNotFound(position?: bigint): Problem {
  return new Problem(404, 'order-not-found', 'There is no such order.', { position });
}
