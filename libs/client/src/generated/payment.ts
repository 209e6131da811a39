// `npm run docs` generates this file from docs/openapi/payment.yaml.

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
  '/payments/{orderId}': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    /** Shows the payment of an order */
    get: operations['PaymentController_get'];
    put?: never;
    post?: never;
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
  '/webhooks/payments': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    get?: never;
    put?: never;
    /** Takes news from the payment provider, signed by it */
    post: operations['PaymentController_news'];
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
  '/simulator/ledger': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    /** Shows what the simulated provider has charged and given back */
    get: operations['PaymentController_ledgerPage'];
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
    Payment: {
      /**
       * Format: uuid
       * @description The order's id; also the key of the message
       */
      orderId: string;
      /** @enum {string} */
      status:
        | 'requested'
        | 'authorized'
        | 'declined'
        | 'capturing'
        | 'capture-refused'
        | 'captured'
        | 'returning'
        | 'voided'
        | 'refund-refused'
        | 'refunded'
        | 'blocked';
      /** @description Why the provider declined */
      reason?: string;
      /** @description An amount of money */
      amount?: {
        /** @description In minor units: 1299 is 12.99 EUR */
        amountMinor: number;
        /** @description ISO 4217 code */
        currency: string;
      };
      capturedMinor: number;
      refundedMinor: number;
      /** Format: date-time */
      updatedAt: string;
    };
    LedgerPage: {
      entries: ({
        position: number;
        /**
         * Format: uuid
         * @description The order's id; also the key of the message
         */
        orderId: string;
        type: string;
        /** Format: date-time */
        at: string;
      } & {
        [key: string]: unknown;
      })[];
      /** @description Over all orders, or the one that was asked for */
      totals: {
        /** @description ISO 4217 code */
        currency: string;
        heldMinor: number;
        capturedMinor: number;
        refundedMinor: number;
        netMinor: number;
      }[];
      next?: number;
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
  PaymentController_get: {
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
      /** @description How it stands */
      200: {
        headers: {
          /** @description Sent back with a read, it lets that read show no less than this answer does. */
          'Larder-Position'?: string;
          [name: string]: unknown;
        };
        content: {
          'application/json': components['schemas']['Payment'];
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
      /** @description `payment-not-found` */
      404: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'payment-not-found';
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
  PaymentController_news: {
    parameters: {
      query?: never;
      header: {
        /** @description t=<Unix seconds>,v1=<HMAC-SHA256> */
        'larder-signature': string;
      };
      path?: never;
      cookie?: never;
    };
    requestBody: {
      content: {
        'application/json': {
          /** @description The same for every delivery of this webhook */
          id: string;
          /** @enum {string} */
          type: 'payment.authorized' | 'payment.declined' | 'payment.captured' | 'payment.voided' | 'payment.refunded';
          /** Format: date-time */
          createdAt: string;
          /** @description What the provider knew about the payment at that moment */
          data:
            | {
                /**
                 * Format: uuid
                 * @description The order's id; also the key of the message
                 */
                orderId: string;
                /** @enum {string} */
                status: 'pending';
              }
            | {
                /**
                 * Format: uuid
                 * @description The order's id; also the key of the message
                 */
                orderId: string;
                /** @enum {string} */
                status: 'authorized';
                authorizationId: string;
                /** @description An amount of money */
                authorized: {
                  /** @description In minor units: 1299 is 12.99 EUR */
                  amountMinor: number;
                  /** @description ISO 4217 code */
                  currency: string;
                };
              }
            | {
                /**
                 * Format: uuid
                 * @description The order's id; also the key of the message
                 */
                orderId: string;
                /** @enum {string} */
                status: 'declined';
                /** @enum {string} */
                reason: 'declined' | 'insufficient-funds' | 'invalid-token' | 'invalid-amount' | 'canceled';
              }
            | {
                /**
                 * Format: uuid
                 * @description The order's id; also the key of the message
                 */
                orderId: string;
                /** @enum {string} */
                status: 'captured' | 'refunded';
                authorizationId: string;
                captureId: string;
                /** @description An amount of money */
                captured: {
                  /** @description In minor units: 1299 is 12.99 EUR */
                  amountMinor: number;
                  /** @description ISO 4217 code */
                  currency: string;
                };
                /** @description An amount of money */
                refunded: {
                  /** @description In minor units: 1299 is 12.99 EUR */
                  amountMinor: number;
                  /** @description ISO 4217 code */
                  currency: string;
                };
              }
            | {
                /**
                 * Format: uuid
                 * @description The order's id; also the key of the message
                 */
                orderId: string;
                /** @enum {string} */
                status: 'voided';
                authorizationId?: string;
              };
        };
      };
    };
    responses: {
      /** @description Heard */
      200: {
        headers: {
          /** @description Sent back with a read, it lets that read show no less than this answer does. */
          'Larder-Position'?: string;
          [name: string]: unknown;
        };
        content: {
          'application/json': {
            /** @enum {boolean} */
            received: true;
          };
        };
      };
      /** @description `signature-forged`, `signature-stale`, `signature-malformed` */
      401: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/problem+json': components['schemas']['Problem'] & {
            /** @enum {string} */
            code: 'signature-forged' | 'signature-stale' | 'signature-malformed';
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
  PaymentController_ledgerPage: {
    parameters: {
      query?: {
        /** @description The order's id; also the key of the message */
        orderId?: string;
        /** @description `next` of the page before */
        after?: number;
        limit?: number;
      };
      header?: never;
      path?: never;
      cookie?: never;
    };
    requestBody?: never;
    responses: {
      /** @description A page */
      200: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/json': components['schemas']['LedgerPage'];
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
