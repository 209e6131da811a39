/** The orders, the newest first: of a customer their own. */
import type { Order } from '#client';
import { dayOf, money, short, words } from '../format.js';
import { may, shop } from '../gateway.js';
import { useLoaded } from '../live.js';
import { Empty, Show, Status } from '../parts.js';
import { goTo, path, query } from '../router.js';

const STATUSES = ['placed', 'stock-reserved', 'confirmed', 'completed', 'rejected', 'cancelled'] as const;
const PAGE = 25;

/** This page with other filters; one that is empty is left out. */
function urlWith(filters: Readonly<Record<string, string>>): string {
  const given = Object.entries({ ...Object.fromEntries(query.value), ...filters }).filter(([, value]) => value !== '');
  return `${path.value}?${new URLSearchParams(given)}`;
}

export function Orders() {
  const status = STATUSES.find((each) => each === query.value.get('status'));
  const cursor = query.value.get('cursor') ?? undefined;
  const customerId = query.value.get('customerId') ?? undefined;
  const filters = { ...(status && { status }), ...(cursor && { cursor }), ...(customerId && { customerId }) };
  const orders = useLoaded(JSON.stringify(filters), () => shop.orders({ ...filters, limit: PAGE }), {
    // Older pages do not change by what happens now.
    isLive: () => cursor === undefined,
    concerns: (change) => 'fact' in change && change.fact.service === 'order',
  });
  return (
    <>
      <h1>Orders</h1>
      <form class="filters" onSubmit={(event) => event.preventDefault()}>
        <label>
          Status
          <select
            value={status ?? ''}
            onChange={({ currentTarget }) => goTo(urlWith({ status: currentTarget.value, cursor: '' }))}
          >
            <option value="">Any</option>
            {STATUSES.map((each) => (
              <option key={each} value={each}>
                {words(each)}
              </option>
            ))}
          </select>
        </label>
        {may('GET /stock') && (
          <label>
            Customer
            <input
              value={customerId ?? ''}
              placeholder="Any"
              onChange={({ currentTarget }) => goTo(urlWith({ customerId: currentTarget.value.trim(), cursor: '' }))}
            />
          </label>
        )}
      </form>
      <Show of={orders}>
        {({ items, next }) => (
          <>
            {items.length > 0 && <Table orders={items} />}
            {items.length === 0 && (
              <Empty>
                {status || cursor || customerId ? 'No order is like this.' : 'Nothing has been ordered yet.'}{' '}
                {may('POST /orders') && <a href="/">To the shop</a>}
              </Empty>
            )}
            <p class="pager">
              {cursor && <a href={urlWith({ cursor: '' })}>Newest</a>}
              {next && <a href={urlWith({ cursor: next })}>Older</a>}
            </p>
          </>
        )}
      </Show>
    </>
  );
}

function Table({ orders }: { orders: readonly Order[] }) {
  return (
    <table class="orders">
      <thead>
        <tr>
          <th scope="col">Order</th>
          <th scope="col">Status</th>
          <th scope="col">Goods</th>
          <th scope="col" class="number">
            Total
          </th>
          <th scope="col">Placed</th>
        </tr>
      </thead>
      <tbody>
        {orders.map(({ orderId, status, settled, lines, total, placedAt }) => (
          <tr key={orderId}>
            <th scope="row">
              <a href={`/console/orders/${orderId}`}>
                <code>{short(orderId)}</code>
              </a>
            </th>
            <td>
              <Status status={status} /> {!settled && <span class="muted small">open</span>}
            </td>
            <td>{lines.map(({ sku, quantity }) => `${quantity} × ${words(sku)}`).join(', ')}</td>
            <td class="number">{money(total)}</td>
            <td>
              <time dateTime={placedAt}>{dayOf(placedAt)}</time>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
