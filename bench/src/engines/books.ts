/** What an engine has written down when nothing is under way any longer, and whether it adds up. */

export interface Books {
  readonly orders: readonly {
    readonly orderId: string;
    readonly status: string;
    readonly sku: string;
    readonly quantity: number;
  }[];
  readonly shelves: readonly { readonly sku: string; readonly available: number; readonly reserved: number }[];
  /** The provider's: what it holds and has taken for each order, in minor units. */
  readonly ledger: readonly { readonly orderId: string; readonly heldMinor: number; readonly capturedMinor: number }[];
}

/** What every order is about: so much is in stock of each SKU at first, and so much does a unit cost. */
export interface Terms {
  readonly stocked: number;
  readonly unitMinor: number;
}

/**
 * Units gone from stock are units sold, the provider has captured what completed orders cost, and there is no order
 * without both. Returns how many orders are completed.
 * @throws Error that names the first order or SKU which is wrong
 */
export function judge({ orders, shelves, ledger }: Books, { stocked, unitMinor }: Terms): number {
  const sold = new Map(shelves.map(({ sku }) => [sku, 0]));
  const owed = new Map<string, number>();
  for (const { orderId, status, sku, quantity } of orders) {
    if (status !== 'completed') throw new Error(`Order ${orderId} is ${status}.`);
    if (owed.has(orderId)) throw new Error(`Order ${orderId} is there twice.`);
    sold.set(sku, (sold.get(sku) ?? 0) + quantity);
    owed.set(orderId, quantity * unitMinor);
  }
  for (const { sku, available, reserved } of shelves) {
    const gone = stocked - available;
    if (gone !== sold.get(sku)) throw new Error(`${gone} units of ${sku} are gone, and ${sold.get(sku)} are sold.`);
    if (reserved !== 0) throw new Error(`${reserved} units of ${sku} are held for nobody.`);
  }
  if (sold.size > shelves.length) throw new Error('Something was sold that has no shelf.');
  for (const { orderId, heldMinor, capturedMinor } of ledger) {
    const expected = owed.get(orderId);
    if (expected === undefined) throw new Error(`The provider knows ${orderId}, and no order has that id.`);
    if (heldMinor !== 0) throw new Error(`The provider holds ${heldMinor} for ${orderId}, which is completed.`);
    if (capturedMinor !== expected) throw new Error(`${capturedMinor} of ${expected} were taken for ${orderId}.`);
    owed.delete(orderId);
  }
  for (const orderId of owed.keys()) throw new Error(`Order ${orderId} is completed, and nobody has paid for it.`);
  return orders.length;
}
