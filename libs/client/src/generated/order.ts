// `npm run docs` generates this file from docs/openapi/order.yaml.

export interface paths {
  '/admin/projections': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    /** Shows how far the read models are */
    get: operations['AdminController_progress'];
    put?: never;
    post?: never;
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
  '/admin/dead-letters': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    /** Lists the messages that wait for a person */
    get: operations['AdminController_deadLetters'];
    put?: never;
    post?: never;
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
  '/admin/dead-letters/decisions': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    /** Lists who decided what about dead letters, latest first */
    get: operations['AdminController_decisions'];
    put?: never;
    post?: never;
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
  '/admin/dead-letters/{id}/retry': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    get?: never;
    put?: never;
    /** Has a dead letter tried again, with fresh attempts */
    post: operations['AdminController_retry'];
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
  '/admin/dead-letters/{id}/skip': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    get?: never;
    put?: never;
    /** Gives up a dead letter; those behind it go on */
    post: operations['AdminController_skip'];
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
  '/orders': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    /** Lists orders, the newest first */
    get: operations['OrderController_list'];
    put?: never;
    /** Places an order */
    post: operations['OrderController_place'];
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
  '/orders/{orderId}': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    /** Shows an order */
    get: operations['OrderController_get'];
    put?: never;
    post?: never;
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
  '/orders/{orderId}/history': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    /** Shows what happened to an order, and how it stood at a moment */
    get: operations['OrderController_history'];
    put?: never;
    post?: never;
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
  '/orders/{orderId}/cancel': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    get?: never;
    put?: never;
    /** Cancels an order that is not confirmed yet */
    post: operations['OrderController_cancel'];
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
  '/prices/{sku}': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    get?: never;
    /** Sets the price of a SKU, for the orders to come */
    put: operations['OrderController_setPrice'];
    post?: never;
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
  '/prices': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    /** Lists the prices */
    get: operations['OrderController_prices'];
    put?: never;
    post?: never;
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
  '/admin/attention': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    /** Lists the orders that wait for a decision of a person, longest first */
    get: operations['AttentionController_list'];
    put?: never;
    post?: never;
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
  '/admin/attention/{orderId}': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    get?: never;
    put?: never;
    /** Decides about an order; the same again changes nothing */
    post: operations['AttentionController_decide'];
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
}
export type webhooks = Record<string, never>;
export interface components {
  schemas: {
    OrderRequest: {
      /**
       * Format: uuid
       * @description Who orders
       */
      customerId: string;
      /** @description What is ordered; each SKU once */
      lines: {
        /** @description Stock-keeping unit */
        sku: string;
        /** @description Whole units */
        quantity: number;
      }[];
      payment: {
        /** @description Stands for the means of payment: tok_approved, tok_declined, … */
        token: string;
      };
    };
    Order: {
      /**
       * Format: uuid
       * @description The order's id; also the key of the message
       */
      orderId: string;
      /** @enum {string} */
      status: 'placed' | 'stock-reserved' | 'confirmed' | 'completed' | 'rejected' | 'cancelled';
      /** @enum {string} */
      reason?: 'out-of-stock' | 'payment-declined' | 'customer' | 'deadline' | 'operator';
      /** @description Nothing more will happen to the order's stock and money */
      settled: boolean;
      /** Format: uuid */
      customerId: string;
      lines: {
        /** @description Stock-keeping unit */
        sku: string;
        /** @description Whole units */
        quantity: number;
        /** @description An amount of money */
        unitPrice: {
          /** @description In minor units: 1299 is 12.99 EUR */
          amountMinor: number;
          /** @description ISO 4217 code */
          currency: string;
        };
      }[];
      /** @description An amount of money */
      total: {
        /** @description In minor units: 1299 is 12.99 EUR */
        amountMinor: number;
        /** @description ISO 4217 code */
        currency: string;
      };
      /** Format: date-time */
      placedAt: string;
    };
    OrderPage: {
      items: components['schemas']['Order'][];
      /** @description `cursor` of the next page, where there is one */
      next?: string;
    };
    History: {
      order: components['schemas']['Order'];
      events: {
        revision: number;
        type: string;
        /** Format: date-time */
        at: string;
        data: {
          [key: string]: unknown;
        };
        /** @description Who decided it, where that was an operator */
        actor?: string;
        /** @description The operator's reason */
        reason?: string;
      }[];
    };
    Price: {
      /** @description Stock-keeping unit */
      sku: string;
      /** @description An amount of money */
      price: {
        /** @description In minor units: 1299 is 12.99 EUR */
        amountMinor: number;
        /** @description ISO 4217 code */
        currency: string;
      };
      /** Format: date-time */
      since: string;
    };
    Problem: {
      /** @description `urn:larder:problem:<code>` */
      type: string;
      title: string;
      status: number;
      detail: string;
      /** @description Stable: what a program may decide on */
      code: string;
      instance: string;
      correlationId?: string;
    } & {
      [key: string]: unknown;
    };
  };
  responses: never;
  parameters: never;
  requestBodies: never;
  headers: never;
  pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
  AdminController_progress: {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    requestBody?: never;
    responses: {
      200: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/json': {
            items: {
              name: string;
              table: string;
              /** @description The position of the last event that it shows */
              position: number;
              /** @description The position of the last event there is */
              head: number;
              lag: number;
              /**
               * @description What has changed since its table was built: replay it; absent when nothing has
               * @enum {string}
               */
              stale?: 'code' | 'columns';
            }[];
          };
        };
      };
      /** @description A problem (RFC 9457) */
      default: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'];
        };
      };
    };
  };
  AdminController_deadLetters: {
    parameters: {
      query?: {
        /** @description `next` of the page before */
        after?: string;
        limit?: number;
      };
      header?: never;
      path?: never;
      cookie?: never;
    };
    requestBody?: never;
    responses: {
      200: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/json': {
            items: {
              id: string;
              consumer: string;
              /** @description Later messages with this key wait behind it */
              key: string;
              message: {
                id: string;
                type: string;
              } & {
                [key: string]: unknown;
              };
              attempts: number;
              error: string;
              /** Format: date-time */
              deadAt: string;
            }[];
            next?: string;
          };
        };
      };
      /** @description A problem (RFC 9457) */
      default: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'];
        };
      };
    };
  };
  AdminController_decisions: {
    parameters: {
      query?: {
        /** @description `next` of the page before */
        after?: string;
        limit?: number;
      };
      header?: never;
      path?: never;
      cookie?: never;
    };
    requestBody?: never;
    responses: {
      200: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/json': {
            items: {
              /** Format: uuid */
              id: string;
              deadLetterId?: string;
              /** @enum {string} */
              action: 'retry' | 'skip';
              /** @description Who decided */
              actor: string;
              reason: string;
              /** Format: date-time */
              decidedAt: string;
              consumer: string;
              key: string;
              /** @description As it was then, and so are attempts and error */
              message: {
                id: string;
                type: string;
              } & {
                [key: string]: unknown;
              };
              attempts: number;
              error: string;
            }[];
            next?: string;
          };
        };
      };
      /** @description A problem (RFC 9457) */
      default: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'];
        };
      };
    };
  };
  AdminController_retry: {
    parameters: {
      query?: never;
      header?: never;
      path: {
        id: string;
      };
      cookie?: never;
    };
    requestBody: {
      content: {
        'application/json': {
          /** @description Who decides */
          actor: string;
          /** @description Why; it is kept with the decision */
          reason: string;
        };
      };
    };
    responses: {
      200: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/json': {
            id: string;
            consumer: string;
            /** @description Later messages with this key wait behind it */
            key: string;
            message: {
              id: string;
              type: string;
            } & {
              [key: string]: unknown;
            };
            attempts: number;
            error: string;
            /** Format: date-time */
            deadAt: string;
          };
        };
      };
      /** @description A problem (RFC 9457) */
      default: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'];
        };
      };
    };
  };
  AdminController_skip: {
    parameters: {
      query?: never;
      header?: never;
      path: {
        id: string;
      };
      cookie?: never;
    };
    requestBody: {
      content: {
        'application/json': {
          /** @description Who decides */
          actor: string;
          /** @description Why; it is kept with the decision */
          reason: string;
        };
      };
    };
    responses: {
      200: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/json': {
            id: string;
            consumer: string;
            /** @description Later messages with this key wait behind it */
            key: string;
            message: {
              id: string;
              type: string;
            } & {
              [key: string]: unknown;
            };
            attempts: number;
            error: string;
            /** Format: date-time */
            deadAt: string;
          };
        };
      };
      /** @description A problem (RFC 9457) */
      default: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'];
        };
      };
    };
  };
  OrderController_list: {
    parameters: {
      query?: {
        customerId?: string;
        status?: 'placed' | 'stock-reserved' | 'confirmed' | 'completed' | 'rejected' | 'cancelled';
        /** @description `next` of the page before */
        cursor?: string;
        limit?: number;
      };
      header?: {
        /** @description As earlier answers gave it, of one service or, separated by commas, of several: this read then shows no less than they did. */
        'Larder-Position'?: string;
      };
      path?: never;
      cookie?: never;
    };
    requestBody?: never;
    responses: {
      /** @description A page */
      200: {
        headers: {
          /** @description Sent back with a read, it lets that read show no less than this answer does. */
          'Larder-Position'?: string;
          [name: string]: unknown;
        };
        content: {
          'application/json': components['schemas']['OrderPage'];
        };
      };
      /** @description `invalid-position`, `unknown-position` */
      400: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'invalid-position' | 'unknown-position';
          };
        };
      };
      /** @description `invalid-request` */
      422: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'invalid-request';
          };
        };
      };
      /** @description `read-model-behind`, `unavailable` */
      503: {
        headers: {
          /** @description Seconds */
          'Retry-After'?: number;
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'read-model-behind' | 'unavailable';
          };
        };
      };
      /** @description A problem (RFC 9457) */
      default: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'];
        };
      };
    };
  };
  OrderController_place: {
    parameters: {
      query?: never;
      header: {
        /** @description wait=N holds the answer for up to N seconds, at most 30, until it is final (RFC 7240). */
        Prefer?: string;
        /** @description The same key with the same body gives the same answer, and makes nothing new. */
        'Idempotency-Key': string;
      };
      path?: never;
      cookie?: never;
    };
    requestBody: {
      content: {
        'application/json': components['schemas']['OrderRequest'];
      };
    };
    responses: {
      /** @description Final, with Prefer: wait */
      200: {
        headers: {
          /** @description Sent back with a read, it lets that read show no less than this answer does. */
          'Larder-Position'?: string;
          /** @description The wait that was granted, whether or not all of it was needed (RFC 7240). */
          'Preference-Applied'?: string;
          /** @description Where the order is */
          Location?: string;
          [name: string]: unknown;
        };
        content: {
          'application/json': components['schemas']['Order'];
        };
      };
      /** @description Placed; the answer of the first time, when it was placed before */
      202: {
        headers: {
          /** @description Sent back with a read, it lets that read show no less than this answer does. */
          'Larder-Position'?: string;
          /** @description The wait that was granted, whether or not all of it was needed (RFC 7240). */
          'Preference-Applied'?: string;
          /** @description Where the order is */
          Location?: string;
          [name: string]: unknown;
        };
        content: {
          'application/json': components['schemas']['Order'];
        };
      };
      /** @description `idempotency-key-missing`, `idempotency-key-invalid`, `malformed-json` */
      400: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'idempotency-key-missing' | 'idempotency-key-invalid' | 'malformed-json';
          };
        };
      };
      /** @description `invalid-request`, `unknown-sku`, `duplicate-sku`, `mixed-currencies`, `idempotency-key-reused` */
      422: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'invalid-request' | 'unknown-sku' | 'duplicate-sku' | 'mixed-currencies' | 'idempotency-key-reused';
          };
        };
      };
      /** @description A problem (RFC 9457) */
      default: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'];
        };
      };
    };
  };
  OrderController_get: {
    parameters: {
      query?: never;
      header?: {
        /** @description wait=N holds the answer for up to N seconds, at most 30, until it is final (RFC 7240). */
        Prefer?: string;
        /** @description As earlier answers gave it, of one service or, separated by commas, of several: this read then shows no less than they did. */
        'Larder-Position'?: string;
      };
      path: {
        /** @description The order's id; also the key of the message */
        orderId: string;
      };
      cookie?: never;
    };
    requestBody?: never;
    responses: {
      /** @description The order as the read model has it, or with Prefer: wait as it ended */
      200: {
        headers: {
          /** @description Sent back with a read, it lets that read show no less than this answer does. */
          'Larder-Position'?: string;
          /** @description The wait that was granted, whether or not all of it was needed (RFC 7240). */
          'Preference-Applied'?: string;
          [name: string]: unknown;
        };
        content: {
          'application/json': components['schemas']['Order'];
        };
      };
      /** @description `invalid-position`, `unknown-position` */
      400: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'invalid-position' | 'unknown-position';
          };
        };
      };
      /** @description `order-not-found` */
      404: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'order-not-found';
          };
        };
      };
      /** @description `read-model-behind`, `unavailable` */
      503: {
        headers: {
          /** @description Seconds */
          'Retry-After'?: number;
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'read-model-behind' | 'unavailable';
          };
        };
      };
      /** @description A problem (RFC 9457) */
      default: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'];
        };
      };
    };
  };
  OrderController_history: {
    parameters: {
      query?: {
        /** @description Shows the order as it was at that revision (its events count from 0), or at that time (ISO 8601, with an offset or Z). Before the first event there is nothing: 404 `order-not-placed-yet`. After the last, it is as it is now. */
        asOf?: string;
      };
      header?: {
        /** @description As earlier answers gave it, of one service or, separated by commas, of several: this read then shows no less than they did. */
        'Larder-Position'?: string;
      };
      path: {
        /** @description The order's id; also the key of the message */
        orderId: string;
      };
      cookie?: never;
    };
    requestBody?: never;
    responses: {
      /** @description The events up to then, and the order as they leave it */
      200: {
        headers: {
          /** @description Sent back with a read, it lets that read show no less than this answer does. */
          'Larder-Position'?: string;
          [name: string]: unknown;
        };
        content: {
          'application/json': components['schemas']['History'];
        };
      };
      /** @description `invalid-position`, `unknown-position` */
      400: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'invalid-position' | 'unknown-position';
          };
        };
      };
      /** @description `order-not-found`, `order-not-placed-yet` */
      404: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'order-not-found' | 'order-not-placed-yet';
          };
        };
      };
      /** @description `invalid-request` */
      422: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'invalid-request';
          };
        };
      };
      /** @description `read-model-behind`, `unavailable` */
      503: {
        headers: {
          /** @description Seconds */
          'Retry-After'?: number;
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'read-model-behind' | 'unavailable';
          };
        };
      };
      /** @description A problem (RFC 9457) */
      default: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'];
        };
      };
    };
  };
  OrderController_cancel: {
    parameters: {
      query?: never;
      header?: never;
      path: {
        /** @description The order's id; also the key of the message */
        orderId: string;
      };
      cookie?: never;
    };
    requestBody?: never;
    responses: {
      /** @description Called off */
      202: {
        headers: {
          /** @description Sent back with a read, it lets that read show no less than this answer does. */
          'Larder-Position'?: string;
          [name: string]: unknown;
        };
        content: {
          'application/json': components['schemas']['Order'];
        };
      };
      /** @description `order-not-found` */
      404: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'order-not-found';
          };
        };
      };
      /** @description `order-confirmed` */
      409: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'order-confirmed';
          };
        };
      };
      /** @description A problem (RFC 9457) */
      default: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'];
        };
      };
    };
  };
  OrderController_setPrice: {
    parameters: {
      query?: never;
      header?: never;
      path: {
        /** @description Stock-keeping unit */
        sku: string;
      };
      cookie?: never;
    };
    requestBody: {
      content: {
        'application/json': {
          /** @description In minor units: 1299 is 12.99 EUR */
          amountMinor: number;
          /** @description ISO 4217 code */
          currency: string;
        };
      };
    };
    responses: {
      /** @description Set */
      200: {
        headers: {
          /** @description Sent back with a read, it lets that read show no less than this answer does. */
          'Larder-Position'?: string;
          [name: string]: unknown;
        };
        content: {
          'application/json': {
            /** @description Stock-keeping unit */
            sku: string;
            /** @description An amount of money */
            price: {
              /** @description In minor units: 1299 is 12.99 EUR */
              amountMinor: number;
              /** @description ISO 4217 code */
              currency: string;
            };
          };
        };
      };
      /** @description `malformed-json` */
      400: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'malformed-json';
          };
        };
      };
      /** @description `invalid-request` */
      422: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'invalid-request';
          };
        };
      };
      /** @description A problem (RFC 9457) */
      default: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'];
        };
      };
    };
  };
  OrderController_prices: {
    parameters: {
      query?: never;
      header?: {
        /** @description As earlier answers gave it, of one service or, separated by commas, of several: this read then shows no less than they did. */
        'Larder-Position'?: string;
      };
      path?: never;
      cookie?: never;
    };
    requestBody?: never;
    responses: {
      /** @description All of them */
      200: {
        headers: {
          /** @description Sent back with a read, it lets that read show no less than this answer does. */
          'Larder-Position'?: string;
          [name: string]: unknown;
        };
        content: {
          'application/json': {
            items: components['schemas']['Price'][];
          };
        };
      };
      /** @description `invalid-position`, `unknown-position` */
      400: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'invalid-position' | 'unknown-position';
          };
        };
      };
      /** @description `read-model-behind`, `unavailable` */
      503: {
        headers: {
          /** @description Seconds */
          'Retry-After'?: number;
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'read-model-behind' | 'unavailable';
          };
        };
      };
      /** @description A problem (RFC 9457) */
      default: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'];
        };
      };
    };
  };
  AttentionController_list: {
    parameters: {
      query?: {
        limit?: number;
      };
      header?: never;
      path?: never;
      cookie?: never;
    };
    requestBody?: never;
    responses: {
      200: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/json': {
            items: {
              /**
               * Format: uuid
               * @description The order's id; also the key of the message
               */
              orderId: string;
              /**
               * Format: date-time
               * @description Since when a person is waited for
               */
              since: string;
              happened: string;
              /** @description What the order holds, as far as this service knows */
              held: {
                lines: {
                  /** @description Stock-keeping unit */
                  sku: string;
                  /** @description Whole units */
                  quantity: number;
                  /** @description reserved, shipped, released, … */
                  state: string;
                }[];
                money?: {
                  /** @description In minor units: 1299 is 12.99 EUR */
                  amountMinor: number;
                  /** @description ISO 4217 code */
                  currency: string;
                  /** @description held, captured, given back, … */
                  state: string;
                };
              };
              tried: {
                /** Format: date-time */
                at: string;
                what: string;
              }[];
              choices: {
                /** @enum {string} */
                decision: 'retry' | 'call-off';
                effect: string;
              }[];
            }[];
          };
        };
      };
      /** @description A problem (RFC 9457) */
      default: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'];
        };
      };
    };
  };
  AttentionController_decide: {
    parameters: {
      query?: never;
      header?: never;
      path: {
        /** @description The order's id; also the key of the message */
        orderId: string;
      };
      cookie?: never;
    };
    requestBody: {
      content: {
        'application/json': {
          /**
           * @description One of the choices of the item
           * @enum {string}
           */
          decision: 'retry' | 'call-off';
          /** @description Who decides */
          actor: string;
          /** @description Why; it is kept with the events that follow */
          reason: string;
        };
      };
    };
    responses: {
      200: {
        headers: {
          /** @description Sent back with a read, it lets that read show no less than this answer does. */
          'Larder-Position'?: string;
          [name: string]: unknown;
        };
        content: {
          'application/json': {
            /**
             * @description One of the choices of the item
             * @enum {string}
             */
            decision: 'retry' | 'call-off';
            /** @description Who decides */
            actor: string;
            /** @description Why; it is kept with the events that follow */
            reason: string;
            /**
             * Format: uuid
             * @description The order's id; also the key of the message
             */
            orderId: string;
          };
        };
      };
      /** @description There is no such order here */
      404: {
        headers: {
          [name: string]: unknown;
        };
        content?: never;
      };
      /** @description The decision does not apply (any more); `detail` says why */
      409: {
        headers: {
          [name: string]: unknown;
        };
        content?: never;
      };
      /** @description A problem (RFC 9457) */
      default: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'];
        };
      };
    };
  };
}
