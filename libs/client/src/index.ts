/**
 * A client of the shop, for a server or a browser: it needs `fetch` and nothing else. Its types are made from the OpenAPI
 * documents of the three services.
 *
 *   const shop = new LarderClient({ order: 'http://localhost:3001', inventory: 'http://localhost:3002' }, { token });
 *   const { orderId } = await shop.placeOrder({ lines, payment: { token: 'tok_approved' } });
 *   const order = await shop.order(orderId, { wait: 5 });
 *
 * Besides the types it does what every caller of the API would otherwise have to do by hand:
 *
 *   Larder-Position      kept from every answer and sent with every request: a read shows what was written and never less
 *                        than was seen, an order is sold at the price that was set (docs/consistency.md)
 *   Idempotency-Key      generated for every write that takes one, unless it is given
 *   429, 502, 503, 504,  sent again after `Retry-After`, a few times: no write of the shop counts twice
 *     no answer
 *   problem (RFC 9457)   thrown as a LarderProblem with its `code`
 */
import createClient from 'openapi-fetch';
import type * as inventoryApi from './generated/inventory.js';
import type * as orderApi from './generated/order.js';
import type * as paymentApi from './generated/payment.js';

export type { inventoryApi, orderApi, paymentApi };
export type OrderRequest = orderApi.components['schemas']['OrderRequest'];
export type Order = orderApi.components['schemas']['Order'];
export type OrderPage = orderApi.components['schemas']['OrderPage'];
export type History = orderApi.components['schemas']['History'];
export type Price = orderApi.components['schemas']['Price'];
export type Stock = inventoryApi.components['schemas']['Stock'];
export type Reservation = inventoryApi.components['schemas']['Reservation'];
export type Payment = paymentApi.components['schemas']['Payment'];
export type Problem = orderApi.components['schemas']['Problem'];

/** The base URLs of the services. One that is left out is the origin of the page, as behind a gateway. */
export interface Urls {
  readonly order?: string;
  readonly inventory?: string;
  readonly payment?: string;
}

export interface ClientOptions {
  /** The `positions` of an earlier client: this one then sees no less. */
  readonly positions?: string;
  /** How often a request is sent again that was answered with 429, 502, 503 or 504, or not at all; default: 3. */
  readonly retries?: number;
  /** The access token that says who calls, or what gets one that is still good: asked before every request. */
  readonly token?: string | (() => string | Promise<string>);
  /** Replaces the global `fetch`: the place for timeouts. */
  readonly fetch?: (request: Request) => Promise<Response>;
}

export interface WriteOptions {
  /** The same key with the same body is the same write: pass one to repeat a write that may have succeeded. */
  readonly idempotencyKey?: string;
}

export interface WaitOptions {
  /** Seconds to wait for the order to be final, at most 30; answered as soon as it is. */
  readonly wait?: number;
}

/** Who is told to wait longer is told the answer instead: an earlier request would only be refused again. */
const MAX_PAUSE_MS = 10_000;

/** What the shop, or a gateway before it, answers when the same request may succeed later. */
const TRY_AGAIN: readonly number[] = [429, 502, 503, 504];

export class LarderClient {
  private readonly known = new Map<string, bigint>();
  private readonly retries: number;
  private readonly token: ClientOptions['token'];
  private readonly fetch: (request: Request) => Promise<Response>;
  private readonly api;

  constructor(
    urls: Urls,
    { positions = '', retries = 3, token, fetch = (request) => globalThis.fetch(request) }: ClientOptions = {},
  ) {
    this.see(positions);
    this.token = token;
    this.retries = retries;
    this.fetch = fetch;
    const of = (service: keyof Urls) => ({
      baseUrl: urls[service] ?? '',
      fetch: (request: Request) => this.send(service, request),
    });
    this.api = {
      order: createClient<orderApi.paths>(of('order')),
      inventory: createClient<inventoryApi.paths>(of('inventory')),
      payment: createClient<paymentApi.paths>(of('payment')),
    };
  }

  /** The highest position that this client has seen of each service, as the header has them: `order:11, inventory:7`. */
  get positions(): string {
    return [...this.known].map(([service, position]) => `${service}:${position}`).join(', ');
  }

  /** From now on this client sees no less than these positions: of another client, or of what it was told. */
  see(positions: string): void {
    for (const [, service, digits] of positions.matchAll(/([a-z][a-z0-9-]*):(\d+)/g)) {
      const position = BigInt(digits!);
      if (position >= (this.known.get(service!) ?? 0n)) this.known.set(service!, position);
    }
  }

  /** Places an order. With `wait` the answer is the final order, or the placed one when that takes longer. */
  placeOrder(body: OrderRequest, options: WriteOptions & WaitOptions = {}): Promise<Order> {
    const header = { ...keyOf(options), ...preferOf(options) };
    return answerOf(this.api.order.POST('/orders', { body, params: { header } }));
  }

  order(orderId: string, options: WaitOptions = {}): Promise<Order> {
    return answerOf(
      this.api.order.GET('/orders/{orderId}', { params: { path: { orderId }, header: preferOf(options) } }),
    );
  }

  /** A page of orders, the newest first; `next` of it is the `cursor` of the next. */
  orders(
    query: { customerId?: string; status?: Order['status']; cursor?: string; limit?: number } = {},
  ): Promise<OrderPage> {
    return answerOf(this.api.order.GET('/orders', { params: { query } }));
  }

  /** What happened to an order, and its state after a revision or at a moment; default: now. */
  history(orderId: string, { asOf }: { asOf?: number | Date } = {}): Promise<History> {
    const query = asOf === undefined ? {} : { asOf: typeof asOf === 'number' ? `${asOf}` : asOf.toISOString() };
    return answerOf(this.api.order.GET('/orders/{orderId}/history', { params: { path: { orderId }, query } }));
  }

  /** @throws LarderProblem `order-confirmed` when it is too late */
  cancelOrder(orderId: string): Promise<Order> {
    return answerOf(this.api.order.POST('/orders/{orderId}/cancel', { params: { path: { orderId } } }));
  }

  /** Sets the price of a SKU for the orders to come. */
  async setPrice(sku: string, body: Price['price']): Promise<void> {
    await answerOf(this.api.order.PUT('/prices/{sku}', { body, params: { path: { sku } } }));
  }

  /** Takes a SKU out of sale, until its price is set again. */
  async withdrawPrice(sku: string): Promise<void> {
    await answerOf(this.api.order.DELETE('/prices/{sku}', { params: { path: { sku } } }));
  }

  /** All prices, by SKU. */
  prices(): Promise<Price[]> {
    return allOf((query) => answerOf(this.api.order.GET('/prices', { params: { query } })));
  }

  /** Books units that came in, and returns the stock after it. */
  receive(sku: string, quantity: number, options: WriteOptions = {}): Promise<Stock> {
    const params = { path: { sku }, header: keyOf(options) };
    return answerOf(this.api.inventory.POST('/stock/{sku}/receipts', { body: { quantity }, params }));
  }

  /** Corrects the books to what was counted on the shelf, and returns the stock after it. */
  recount(sku: string, counted: number, options: WriteOptions = {}): Promise<Stock> {
    const params = { path: { sku }, header: keyOf(options) };
    return answerOf(this.api.inventory.POST('/stock/{sku}/recounts', { body: { counted }, params }));
  }

  /** All stock, by SKU. */
  stock(): Promise<Stock[]> {
    return allOf((query) => answerOf(this.api.inventory.GET('/stock', { params: { query } })));
  }

  stockOf(sku: string): Promise<Stock> {
    return answerOf(this.api.inventory.GET('/stock/{sku}', { params: { path: { sku } } }));
  }

  reservation(orderId: string): Promise<Reservation> {
    return answerOf(this.api.inventory.GET('/reservations/{orderId}', { params: { path: { orderId } } }));
  }

  payment(orderId: string): Promise<Payment> {
    return answerOf(this.api.payment.GET('/payments/{orderId}', { params: { path: { orderId } } }));
  }

  private async send(service: keyof Urls, request: Request): Promise<Response> {
    if (this.known.size > 0) request.headers.set('Larder-Position', this.positions);
    for (let left = this.retries; ; left--) {
      const token = typeof this.token === 'function' ? await this.token() : this.token;
      if (token !== undefined) request.headers.set('Authorization', `Bearer ${token}`);
      const response = await this.fetch(request.clone()).catch((error: unknown) => {
        if (left <= 0 || request.signal.aborted) throw error;
        return undefined;
      });
      // A write may have succeeded whose answer is a problem: then that has its position.
      this.see(response?.headers.get('Larder-Position') ?? '');
      const ms = pauseMs(response);
      if (response && (left <= 0 || ms > MAX_PAUSE_MS || !TRY_AGAIN.includes(response.status))) {
        await this.forgetIfUnknown(service, response);
        return response;
      }
      await response?.body?.cancel();
      await new Promise((resolve) => setTimeout(resolve, ms));
    }
  }

  /** A store that was set back refuses what it has not reached: the caller is told once, and may then begin anew. */
  private async forgetIfUnknown(service: keyof Urls, response: Response): Promise<void> {
    if (response.status !== 400) return;
    const problem = await response
      .clone()
      .json()
      .catch(() => undefined);
    if ((problem as Problem | undefined)?.code === 'unknown-position') this.known.delete(service);
  }
}

/** What the shop refused, or could not do. */
export class LarderProblem extends Error {
  override readonly name = 'LarderProblem';

  constructor(
    readonly status: number,
    /** Stable: programs decide on this. The documented codes; there may be others. */
    readonly code: ProblemCode | (string & {}),
    detail: string,
    /** The whole document; undefined when a proxy answered instead of the shop. */
    readonly problem: Problem | undefined,
  ) {
    super(detail);
  }
}

/** The codes that the OpenAPI documents name. */
export type ProblemCode = CodeOf<
  AnswerOf<
    | orderApi.operations[keyof orderApi.operations]
    | inventoryApi.operations[keyof inventoryApi.operations]
    | paymentApi.operations[keyof paymentApi.operations]
  >
>;
type AnswerOf<O> = O extends { responses: infer R } ? R[keyof R] : never;
type CodeOf<A> = A extends { content: { 'application/problem+json': { code: infer C } } }
  ? string extends C
    ? never
    : C
  : never;

async function answerOf<R extends { data?: unknown; error?: unknown; response: Response }>(
  result: Promise<R>,
): Promise<NonNullable<R['data']>> {
  const { data, error, response } = await result;
  if (response.ok) return data as NonNullable<R['data']>;
  const problem = (error as Problem | undefined)?.code === undefined ? undefined : (error as Problem);
  const detail = problem?.detail ?? `${response.url} was answered with ${response.status}, but not by the shop.`;
  throw new LarderProblem(response.status, problem?.code ?? 'unknown', detail, problem);
}

function keyOf({ idempotencyKey = crypto.randomUUID() }: WriteOptions) {
  return { 'Idempotency-Key': idempotencyKey };
}

/** The items of all pages. */
async function allOf<Item>(
  pageAt: (query: { limit: number; cursor?: string }) => Promise<{ items: Item[]; next?: string }>,
): Promise<Item[]> {
  const items: Item[] = [];
  for (let cursor: string | undefined; ;) {
    const page = await pageAt({ limit: 200, ...(cursor !== undefined && { cursor }) });
    items.push(...page.items);
    if (page.next === undefined) return items;
    cursor = page.next;
  }
}

function preferOf({ wait }: WaitOptions) {
  return wait === undefined ? {} : { Prefer: `wait=${wait}` };
}

/** What `Retry-After` says, in seconds or as a date; default: a second. */
function pauseMs(response: Response | undefined): number {
  const retryAfter = response?.headers.get('Retry-After') ?? '1';
  const ms = /^\d+$/.test(retryAfter) ? Number(retryAfter) * 1_000 : Date.parse(retryAfter) - Date.now();
  return Number.isNaN(ms) ? 1_000 : Math.max(ms, 0);
}
