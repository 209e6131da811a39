/** One row per SKU that is sold: what `GET /prices` shows. */
import { idOf } from '#event-store';
import { projection } from '#projections';
import type { PriceEvent } from '../domain/price.js';

export interface PriceListRow {
  sku: string;
  amount_minor: number;
  currency: string;
  since: string;
}

export const priceList = projection<PriceListRow, PriceEvent>({
  name: 'price-list',
  table: 'price_list',
  categories: ['price'],
  keyColumns: ['sku'],
  rowPerStream: true,
  key: (event) => ({ sku: idOf(event.stream) }),

  apply(_row, event) {
    switch (event.type) {
      case 'PriceSet':
        return {
          sku: idOf(event.stream),
          amount_minor: event.data.amountMinor,
          currency: event.data.currency,
          since: event.recordedAt,
        };
      case 'PriceWithdrawn':
        return undefined;
    }
  },
});
