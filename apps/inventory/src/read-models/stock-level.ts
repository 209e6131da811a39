/** One row per SKU: what `GET /stock` shows. It folds with the decider's own `evolve`, so the two cannot disagree. */
import { idOf } from '#event-store';
import { projection } from '#projections';
import { stock, type StockEvent } from '../domain/stock.js';

export interface StockLevelRow {
  sku: string;
  available: number;
  reserved: number;
  shipped: number;
  updated_at: string;
}

export const stockLevel = projection<StockLevelRow, StockEvent>({
  name: 'stock-level',
  table: 'stock_level',
  categories: ['stock'],
  keyColumns: ['sku'],
  rowPerStream: true,
  key: (event) => ({ sku: idOf(event.stream) }),

  apply(row, event) {
    const { available, reserved, shipped } = stock.evolve(row ?? stock.initialState, event);
    return { sku: idOf(event.stream), available, reserved, shipped, updated_at: event.recordedAt };
  },
});
