/** The shelves, and an order of what is on them. */
import { useState } from 'preact/hooks';
import type { OrderRequest } from '#client';
import { money, words } from '../format.js';
import { askAll, may, session, shop } from '../gateway.js';
import { useLoaded } from '../live.js';
import { placeOnce } from '../once.js';
import { Away, Empty, Show, Trouble } from '../parts.js';
import { goTo } from '../router.js';

interface Price {
  readonly amountMinor: number;
  readonly currency: string;
}

interface Shelf {
  readonly sku: string;
  /** Without one it cannot be ordered: nobody has set it, or order is away. */
  readonly price?: Price | undefined;
  /** Units; only staff see it. */
  readonly available?: number | undefined;
}

interface Line {
  readonly sku: string;
  readonly price: Price;
  readonly quantity: number;
}

/** What the simulated provider does with each token. */
const TOKENS: readonly [token: string, does: string][] = [
  ['tok_approved', 'Approved'],
  ['tok_slow', 'Approved slowly'],
  ['tok_declined', 'Declined'],
  ['tok_insufficient_funds', 'Insufficient funds'],
  ['tok_charged_after_timeout', 'Charged after the timeout'],
  ['tok_capture_fails_twice', 'Capture fails twice'],
  ['tok_capture_refused', 'Capture refused: a person decides'],
  ['tok_capture_refused_once', 'Capture refused once'],
  ['tok_refund_refused_once', 'Refund refused once'],
  ['tok_down_30s', 'Provider down for 30 s'],
  ['tok_held_less', 'Holds less than was asked for'],
  ['tok_held_other_currency', 'Holds another currency'],
  ['tok_held_twice', 'Holds it twice'],
  ['tok_captured_in_part', 'Captures a part'],
  ['tok_refunded_in_part', 'Refunds a part'],
  ['tok_refunded_by_provider', 'Refunded by the provider'],
  ['tok_hold_expires', 'The hold expires'],
];

async function readShelves() {
  const asked: Record<string, () => Promise<readonly Shelf[]>> = {
    order: () => shop.prices(),
    ...(may('GET /stock') && { inventory: () => shop.stock() }),
  };
  const answers = await askAll(Object.keys(asked), (service) => asked[service]!());
  const [prices, stock] = ['order', 'inventory'].map((name) => {
    const items = answers.found.find(({ service }) => service === name)?.answer;
    return items && new Map(items.map((each) => [each.sku, each]));
  });
  // Goods without a price are not for sale, if their prices are known.
  const skus = [...(prices ?? stock ?? new Map<string, Shelf>()).keys()];
  const shelves = skus.map((sku): Shelf => {
    return { sku, price: prices?.get(sku)?.price, available: stock?.get(sku)?.available };
  });
  return { ...answers, shelves };
}

export function Shop() {
  const shelves = useLoaded('shelves', readShelves, { isPartial: ({ away }) => away.length > 0 });
  return (
    <>
      <h1>Shop</h1>
      <Show of={shelves}>
        {(answers) => (
          <>
            <Away of={answers} />
            {answers.shelves.length > 0 && <Shelves of={answers.shelves} />}
            {answers.shelves.length === 0 && answers.away.length === 0 && (
              <Empty>The shelves are empty: a clerk has set no price yet.</Empty>
            )}
          </>
        )}
      </Show>
    </>
  );
}

function Shelves({ of: shelves }: { of: readonly Shelf[] }) {
  const [quantities, setQuantities] = useState<Readonly<Record<string, number>>>({});
  const mayOrder = may('POST /orders');
  const chosen = shelves.flatMap(({ sku, price }): Line[] => {
    const quantity = quantities[sku] ?? 0;
    return price && quantity > 0 ? [{ sku, price, quantity }] : [];
  });
  return (
    <div class="columns">
      <ul class="shelves">
        {shelves.map(({ sku, price, available }) => (
          <li key={sku} class="card shelf">
            <div>
              <h2 id={`name-${sku}`}>{words(sku)}</h2>
              {price && <p class="price">{money(price)}</p>}
              {available !== undefined && <p class="muted small">{available} available</p>}
            </div>
            {mayOrder && price && (
              <input
                type="number"
                inputMode="numeric"
                min={0}
                step={1}
                aria-labelledby={`name-${sku}`}
                value={quantities[sku] ?? 0}
                onInput={({ currentTarget: { valueAsNumber } }) =>
                  setQuantities({ ...quantities, [sku]: Math.max(0, Math.trunc(valueAsNumber || 0)) })
                }
              />
            )}
          </li>
        ))}
      </ul>
      {mayOrder ? (
        <Basket lines={chosen} />
      ) : (
        <Empty>Orders are placed by customers, and by clerks on their behalf.</Empty>
      )}
    </div>
  );
}

function Basket({ lines }: { lines: readonly Line[] }) {
  const [token, setToken] = useState('tok_approved');
  const [customerId, setCustomerId] = useState('');
  const [isSending, setSending] = useState(false);
  const [problem, setProblem] = useState<unknown>();
  const isForThemselves = session.value?.caller?.roles.includes('customer') ?? false;
  const currency = lines[0]?.price.currency;
  const total = lines.reduce((sum, { price, quantity }) => sum + price.amountMinor * quantity, 0);

  const place = async (event: Event) => {
    event.preventDefault();
    const order: OrderRequest = {
      ...(!isForThemselves && { customerId }),
      lines: lines.map(({ sku, quantity }) => ({ sku, quantity })),
      payment: { token },
    };
    setSending(true);
    setProblem(undefined);
    try {
      const { orderId } = await placeOnce(order);
      goTo(`/console/orders/${orderId}`);
    } catch (error) {
      setProblem(error);
      setSending(false);
    }
  };

  return (
    <form class="card basket" onSubmit={place} aria-labelledby="basket">
      <h2 id="basket">Your order</h2>
      {lines.length === 0 ? (
        <p class="muted">Nothing yet. Say how much you want of something.</p>
      ) : (
        <ul class="lines">
          {lines.map(({ sku, quantity, price }) => (
            <li key={sku}>
              <span>
                {quantity} × {words(sku)}
              </span>
              <span>{money({ ...price, amountMinor: price.amountMinor * quantity })}</span>
            </li>
          ))}
          <li class="total">
            <span>Total</span>
            <span>{money({ amountMinor: total, currency: currency! })}</span>
          </li>
        </ul>
      )}
      <label>
        Payment
        <select value={token} onChange={({ currentTarget }) => setToken(currentTarget.value)}>
          {TOKENS.map(([token, does]) => (
            <option key={token} value={token}>
              {does}
            </option>
          ))}
        </select>
        <span class="muted small">
          The provider is a simulator, which behaves as <code>{token}</code> says.
        </span>
      </label>
      {!isForThemselves && (
        <label>
          Customer
          <input
            required
            value={customerId}
            onInput={({ currentTarget }) => setCustomerId(currentTarget.value.trim())}
            placeholder="The id of a customer"
          />
        </label>
      )}
      {problem !== undefined && <Trouble error={problem} />}
      <button type="submit" disabled={lines.length === 0 || isSending}>
        {isSending ? 'Placing the order …' : 'Place the order'}
      </button>
    </form>
  );
}
