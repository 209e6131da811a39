/** A customer's personal data over HTTP: what there is, and its end. docs/personal-data.md says what is kept, and why. */
import { Controller, Delete, Get, Inject, Param, Query } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { z } from 'zod';
import type { OrderSummary } from '../../../../prisma/order/client/client.js';
import type { Cause } from '#event-store';
import {
  Answer,
  AfterPosition,
  answers,
  positionHeader,
  Problem,
  ReadYourWrites,
  refuses,
  RequestCaller,
  RequestCause,
  route,
  toPage,
  customerIdOf,
} from '#nest';
import type { Caller } from '#service';
import { orderSummary } from '../read-models/order-summary.js';
import {
  customerIdParam,
  erasureQuery,
  type ErasureView,
  erasureView,
  type OrderView,
  personalDataQuery,
  personalDataView,
  viewOfRow,
} from './order.dto.js';
import { GetErasure, ListOrders, OpenRecipient, RequestErasure } from './order.handlers.js';

@Controller('customers/:customerId/personal-data')
export class PersonalDataController {
  constructor(
    @Inject(CommandBus) private readonly commands: CommandBus,
    @Inject(QueryBus) private readonly queries: QueryBus,
    @Inject(ReadYourWrites) private readonly readYourWrites: ReadYourWrites,
  ) {}

  @Get()
  @route(
    'Shows the personal data of a customer: their orders with the recipients, newest first',
    answers(200, 'A page', personalDataView, positionHeader),
    refuses(404, 'customer-not-found'),
  )
  async getPersonalData(
    @Param('customerId', { schema: customerIdParam }) customerId: string,
    @Query({ schema: personalDataQuery }) { cursor, limit }: z.infer<typeof personalDataQuery>,
    @AfterPosition() after: bigint | undefined,
    @RequestCaller() caller: Caller,
  ): Promise<Answer<z.infer<typeof personalDataView>>> {
    refuseStranger(caller, customerId);
    const list = new ListOrders({ customerId }, cursor, limit + 1);
    const { found, position } = await this.readYourWrites.read(orderSummary, after, () => this.queries.execute(list));
    const { items, next } = toPage(found, limit, (row) => row, placeOf);
    const { status, notBefore } = await this.queries.execute(new GetErasure(customerId));
    const orders = await Promise.all(items.map((row) => this.withRecipient(row, after)));
    const erasure = { status, ...(notBefore !== undefined && { notBefore }) };
    return new Answer({ customerId, erasure, items: orders, ...(next !== undefined && { next }) }, { position });
  }

  private async withRecipient(row: OrderSummary, after: bigint | undefined): Promise<OrderView> {
    const { recipient, orderId, customerId } = row;
    if (recipient === null) return viewOfRow(row);
    const opened = await this.queries.execute(new OpenRecipient(recipient, { orderId, customerId }, after));
    return { ...viewOfRow(row), recipient: opened };
  }

  @Delete()
  @route(
    'Erases the personal data of a customer: at once, or as soon as it may be',
    answers(200, 'There is none, or no more', erasureView, positionHeader),
    answers(202, 'It will be erased: an order is not settled yet, or has to be kept', erasureView, positionHeader),
    refuses(404, 'customer-not-found'),
  )
  async erasePersonalData(
    @Param('customerId', { schema: customerIdParam }) customerId: string,
    @Query({ schema: erasureQuery }) { reason }: z.infer<typeof erasureQuery>,
    @RequestCaller() caller: Caller,
    @RequestCause() cause: Cause,
  ): Promise<Answer<ErasureView>> {
    refuseStranger(caller, customerId);
    if (caller.whose === 'any' && reason === undefined) throw reasonMissing();
    const command = new RequestErasure(customerId, { ...cause, ...(reason !== undefined && { reason }) });
    const { position, ...erasure } = await this.commands.execute(command);
    const status = erasure.status === 'requested' ? 202 : 200;
    return new Answer({ customerId, ...erasure }, { status, position });
  }
}

const placeOf = ({ placedAt, orderId }: OrderSummary) => [placedAt.toISOString(), orderId];

/** To a stranger another customer is one that does not exist. */
function refuseStranger({ subject, whose }: Caller, customerId: string): void {
  if (whose === 'any' || customerIdOf(subject) === customerId) return;
  throw new Problem(404, 'customer-not-found', 'There is no such customer.');
}

function reasonMissing(): Problem {
  const error = { parameter: 'reason', code: 'required', detail: 'Say why it is erased.' };
  return new Problem(422, 'invalid-request', 'An operator says why: see errors.', { extras: { errors: [error] } });
}
