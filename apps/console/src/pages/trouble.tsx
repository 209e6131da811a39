/** Makes things go wrong in the running services, to see them heal; beside it, whether anything is lost. */
import { useEffect, useState } from 'preact/hooks';
import type { Balance } from '../../../gateway/src/api.js';
import { duration, money, timeOf, words } from '../format.js';
import { ask, askEach, may } from '../gateway.js';
import { useLoaded } from '../live.js';
import { Away, Show, Trouble } from '../parts.js';

/** As a service shows it. */
interface Switch {
  readonly name: string;
  readonly does: string;
  readonly see: string;
  readonly seconds: number;
  readonly once: boolean;
  readonly on: boolean;
  readonly until?: string;
  readonly actor?: string;
  readonly struck: number;
}

/** One trouble in all services that have it. */
interface Kind extends Pick<Switch, 'name' | 'does' | 'see' | 'seconds' | 'once'> {
  readonly switches: readonly (Switch & { readonly service: string })[];
}

const LIVE = { isLive: () => true };

export function Troubles() {
  const loaded = useLoaded(
    'troubles',
    () => askEach('GET /admin/troubles', (service) => ask<{ items: Switch[] }>(`/${service}/admin/troubles`)),
    LIVE,
  );
  const now = useNow();
  return (
    <>
      <h1>Trouble</h1>
      <p class="lead">
        Break something while orders are under way: it really breaks, ends by itself, and nothing is lost. Place an
        order in <a href="/">the shop</a> and watch it, or look at <a href="/console/orders">those under way</a>.
      </p>
      {may('GET /admin/balance') && <BalanceView />}
      <Show of={loaded}>
        {(answers) => {
          const kinds = kindsOf(answers.found.map(({ service, answer }) => ({ service, items: answer.items })));
          const isCommon = ({ switches }: Kind) => switches.length === answers.found.length;
          const groups = [
            { title: 'In every service', of: kinds.filter(isCommon) },
            { title: 'At the payment provider', of: kinds.filter((kind) => !isCommon(kind)) },
          ];
          return (
            <>
              <Away of={answers} />
              {groups.map(
                ({ title, of }) =>
                  of.length > 0 && (
                    <section key={title} aria-label={title}>
                      <h2 class="section">{title}</h2>
                      <div class="troubles">
                        {of.map((kind) => (
                          <KindView key={kind.name} of={kind} now={now} onSwitched={() => void loaded.load()} />
                        ))}
                      </div>
                    </section>
                  ),
              )}
            </>
          );
        }}
      </Show>
    </>
  );
}

/** By name, in the order in which the services name them. */
function kindsOf(found: readonly { readonly service: string; readonly items: readonly Switch[] }[]): Kind[] {
  const kinds = new Map<string, Kind>();
  for (const { service, items } of found) {
    for (const item of items) {
      const switches = [...(kinds.get(item.name)?.switches ?? []), { ...item, service }];
      kinds.set(item.name, { ...item, switches });
    }
  }
  return [...kinds.values()];
}

/** The present moment, as it passes, for what ends soon. */
function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

function KindView({ of, now, onSwitched }: { of: Kind; now: number; onSwitched: () => void }) {
  const [problem, setProblem] = useState<unknown>();
  const { name, does, see, seconds, once, switches } = of;
  const turn = async (service: string, on: boolean) => {
    setProblem(undefined);
    try {
      await ask(`/${service}/admin/troubles/${name}`, { method: 'PUT', body: { on } });
    } catch (error) {
      setProblem(error);
    }
    onSwitched();
  };
  const isOn = switches.some(({ on }) => on);
  return (
    <article class="card case" aria-labelledby={`trouble-${name}`} data-on={isOn ? '' : undefined}>
      <h3 id={`trouble-${name}`}>{words(name)}</h3>
      <p>{does}</p>
      <p class="muted">{see}</p>
      <p class="muted small">
        {once ? 'Strikes once. Where it meets nothing, it ends' : 'Ends by itself'} after {seconds} s.
      </p>
      <div class="buttons">
        {switches.map((each) => (
          <button
            key={each.service}
            type="button"
            class={each.on ? undefined : 'quiet'}
            aria-pressed={each.on}
            aria-label={`${words(name)} in ${each.service}`}
            disabled={!may(`PUT /${each.service}/admin/troubles/:name`)}
            onClick={() => void turn(each.service, !each.on)}
          >
            {each.service}
          </button>
        ))}
      </div>
      <p class="small" role="status">
        {switches.map((each) => stateOf(each, now)).join(' ')}
      </p>
      {problem !== undefined && <Trouble error={problem} />}
    </article>
  );
}

/** In words; empty for one that was never switched on. */
function stateOf({ service, on, until, struck, actor }: Switch & { readonly service: string }, now: number): string {
  if (actor === undefined) return '';
  const strikes = struck === 0 ? 'has met nothing' : `has struck ${struck === 1 ? 'once' : `${struck} times`}`;
  if (!on || until === undefined) return `${words(service)}: over, ${strikes}.`;
  const left = Math.max(0, Math.ceil((Date.parse(until) - now) / 1_000));
  return `${words(service)}: on for ${duration(left * 1_000)} more, ${strikes}${struck === 0 ? ' yet' : ''}.`;
}

function BalanceView() {
  const loaded = useLoaded('balance', () => ask<Balance>('/admin/balance'), LIVE);
  return (
    <section class="card balance" aria-labelledby="balance">
      <h2 id="balance">Balance</h2>
      <Show of={loaded}>
        {({ at, orders, open, disagreements, problem, ...balance }) => (
          <>
            <p role="status" class={disagreements.length > 0 ? 'warn' : undefined}>
              <strong>{verdictOf(orders, disagreements.length)}</strong> {moneyOf(balance.money)}
            </p>
            {disagreements.length > 0 && (
              <ul>
                {disagreements.map((each) => (
                  <li key={each}>{each}</li>
                ))}
              </ul>
            )}
            {problem !== undefined && <p class="warn">They cannot be compared now: {problem}</p>}
            <p class="muted small">
              The streams, stock, read models and the provider's ledger of the latest orders, compared at {timeOf(at)}.{' '}
              {open === 0
                ? 'All of these orders are settled.'
                : `Of these orders ${open} ${open === 1 ? 'is' : 'are'} under way.`}
            </p>
          </>
        )}
      </Show>
    </section>
  );
}

function verdictOf(orders: number, disagreements: number): string {
  if (disagreements > 0) return `Something disagrees: ${disagreements} of ${many(orders)}.`;
  return orders === 0 ? 'There is no order yet.' : `Nothing lost: ${many(orders)}, and all books agree.`;
}

const many = (orders: number) => (orders === 1 ? '1 order' : `${orders} orders`);

function moneyOf(sums: Balance['money']): string {
  const of = (minor: 'heldMinor' | 'chargedMinor') =>
    sums.map(({ currency, ...sum }) => money({ amountMinor: sum[minor], currency })).join(' and ');
  return sums.length === 0
    ? ''
    : `For them the provider holds ${of('heldMinor')}, and has taken ${of('chargedMinor')}.`;
}
