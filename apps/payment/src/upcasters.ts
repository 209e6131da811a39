/**
 * How events of older shapes are lifted to the current ones. All are at version 1 so far. A changed shape gets an entry
 * here and a golden file beside the old one: `OrderPlaced: [(data) => ({ …data, channel: 'web' })]`.
 */
import type { Shapes } from '#event-store';

export const shapes: Shapes = {};
