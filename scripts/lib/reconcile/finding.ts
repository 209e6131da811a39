/** What can disagree, and how it is reported. */

/** Each kind, as what is wrong where it is found. */
export const kinds = {
  'broken-stream': 'a stream lacks an event',
  'order-without-stream': 'a service, or a read model, knows an order that the order service does not know',
  'ledger-without-order': 'the provider knows an order that nobody else knows',
  'ledger-without-payment': 'the provider moved money that the payment service never asked for',
  'order-without-end': 'the shop is at rest, and the order is not final',
  'payment-without-end': 'the shop is at rest, and the payment is not final',
  'lines-differ': 'the order and its reservation are about different goods',
  'totals-differ': 'the order, its payment and the ledger are about different amounts',
  'reservation-missing': 'the order counts on stock that was never reserved',
  'lost-release': 'the order is off and settled, and its stock is still reserved',
  'lost-return': 'the order is off and settled, and its stock was shipped',
  'goods-moved-twice': 'a reservation moved goods that it did not hold, or held already',
  'not-shipped': 'the order is completed, and was not shipped',
  'payment-missing': 'the order counts on money that was never authorized',
  'double-capture': 'money was captured more than once',
  'lost-refund': 'the order is off and settled, and its payment was not given back',
  'money-held': 'the provider still holds money of an order that is done with',
  'money-not-owed': 'more money was taken than the order owes',
  'not-paid': 'the order is completed, and was not paid in full',
  'payment-and-ledger-differ': 'the payment service and the provider took, or gave back, different amounts',
  'move-not-told': 'the provider moved money by itself, and the order does not say so',
  'stock-and-reservation-differ': 'a reservation says one thing, and the stock of its SKU another',
  'stock-and-entry-differ': 'goods were entered into the books, and the stock of the SKU says otherwise',
  'stock-and-reservations-differ': 'what is reserved and shipped of a SKU is not what the reservations say',
  'stock-negative': 'the stock of a SKU was below zero',
  'stock-does-not-add-up': 'received and recounted units are not those available, reserved and shipped',
  'row-missing': 'a read model lacks a row',
  'row-too-many': 'a read model has a row that it should not have',
  'row-differs': 'a row of a read model is not what its stream gives',
  'read-model-behind': 'a read model lags behind its events and stands still',
} as const;

export type Kind = keyof typeof kinds;

export interface Finding {
  readonly kind: Kind;
  readonly orderId?: string;
  readonly sku?: string;
  /** The books that disagree: streams, tables, `ledger`. */
  readonly books: readonly string[];
  /** A sentence or two: what each of them contains. */
  readonly message: string;
}
