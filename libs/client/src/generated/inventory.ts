// `npm run docs` generates this file from docs/openapi/inventory.yaml.

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
  '/stock/{sku}/receipts': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    get?: never;
    put?: never;
    /** Books units that came in */
    post: operations['InventoryController_receive'];
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
  '/stock/{sku}/recounts': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    get?: never;
    put?: never;
    /** Corrects the books to what was counted on the shelf */
    post: operations['InventoryController_recount'];
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
  '/stock': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    /** Lists the stock */
    get: operations['InventoryController_list'];
    put?: never;
    post?: never;
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
  '/stock/{sku}': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    /** Shows the stock of a SKU */
    get: operations['InventoryController_get'];
    put?: never;
    post?: never;
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
  '/reservations/{orderId}': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    /** Shows what an order holds of the stock */
    get: operations['InventoryController_reservation'];
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
    Stock: {
      /** @description Stock-keeping unit */
      sku: string;
      /** @description Units */
      available: number;
      /** @description Units */
      reserved: number;
      /** @description Units */
      shipped: number;
    };
    Reservation: {
      /**
       * Format: uuid
       * @description The order's id; also the key of the message
       */
      orderId: string;
      /** @enum {string} */
      status: 'made' | 'rejected' | 'released' | 'shipped' | 'returned' | 'blocked';
      lines: {
        /** @description Stock-keeping unit */
        sku: string;
        /** @description Whole units */
        quantity: number;
      }[];
      /** Format: date-time */
      updatedAt: string;
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
  InventoryController_receive: {
    parameters: {
      query?: never;
      header: {
        /** @description The same key with the same body gives the same answer, and makes nothing new. */
        'Idempotency-Key': string;
      };
      path: {
        /** @description Stock-keeping unit */
        sku: string;
      };
      cookie?: never;
    };
    requestBody: {
      content: {
        'application/json': {
          /** @description Units that came in */
          quantity: number;
        };
      };
    };
    responses: {
      /** @description The stock after it */
      201: {
        headers: {
          /** @description Sent back with a read, it lets that read show no less than this answer does. */
          'Larder-Position'?: string;
          [name: string]: unknown;
        };
        content: {
          'application/json': components['schemas']['Stock'];
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
      /** @description `invalid-request`, `stock-out-of-range`, `idempotency-key-reused` */
      422: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'invalid-request' | 'stock-out-of-range' | 'idempotency-key-reused';
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
  InventoryController_recount: {
    parameters: {
      query?: never;
      header: {
        /** @description The same key with the same body gives the same answer, and makes nothing new. */
        'Idempotency-Key': string;
      };
      path: {
        /** @description Stock-keeping unit */
        sku: string;
      };
      cookie?: never;
    };
    requestBody: {
      content: {
        'application/json': {
          /** @description Units on the shelf, the reserved ones included */
          counted: number;
        };
      };
    };
    responses: {
      /** @description The stock after it */
      201: {
        headers: {
          /** @description Sent back with a read, it lets that read show no less than this answer does. */
          'Larder-Position'?: string;
          [name: string]: unknown;
        };
        content: {
          'application/json': components['schemas']['Stock'];
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
      /** @description `reserved-stock-missing` */
      409: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'reserved-stock-missing';
          };
        };
      };
      /** @description `invalid-request`, `stock-out-of-range`, `idempotency-key-reused` */
      422: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'invalid-request' | 'stock-out-of-range' | 'idempotency-key-reused';
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
  InventoryController_list: {
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
      /** @description All of it */
      200: {
        headers: {
          /** @description Sent back with a read, it lets that read show no less than this answer does. */
          'Larder-Position'?: string;
          [name: string]: unknown;
        };
        content: {
          'application/json': {
            items: components['schemas']['Stock'][];
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
  InventoryController_get: {
    parameters: {
      query?: never;
      header?: {
        /** @description As earlier answers gave it, of one service or, separated by commas, of several: this read then shows no less than they did. */
        'Larder-Position'?: string;
      };
      path: {
        /** @description Stock-keeping unit */
        sku: string;
      };
      cookie?: never;
    };
    requestBody?: never;
    responses: {
      /** @description Its stock */
      200: {
        headers: {
          /** @description Sent back with a read, it lets that read show no less than this answer does. */
          'Larder-Position'?: string;
          [name: string]: unknown;
        };
        content: {
          'application/json': components['schemas']['Stock'];
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
      /** @description `stock-not-found` */
      404: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'stock-not-found';
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
  InventoryController_reservation: {
    parameters: {
      query?: never;
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
      /** @description Its lines, and what became of them */
      200: {
        headers: {
          /** @description Sent back with a read, it lets that read show no less than this answer does. */
          'Larder-Position'?: string;
          [name: string]: unknown;
        };
        content: {
          'application/json': components['schemas']['Reservation'];
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
      /** @description `reservation-not-found` */
      404: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'reservation-not-found';
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
