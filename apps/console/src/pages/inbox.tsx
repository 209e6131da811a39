/** What waits for a person's decision, the decision, and what became of earlier ones. */
import { useState } from 'preact/hooks';
import { dayOf, money, short, words } from '../format.js';
import { type Answers, ask, askEach, may } from '../gateway.js';
import { useLoaded } from '../live.js';
import { Away, Empty, Reason, Show, Trouble } from '../parts.js';
import type { KnownChange } from '../stream.js';

interface Item {
  readonly orderId: string;
  readonly since: string;
  readonly happened: string;
  readonly held: {
    readonly lines: readonly { readonly sku: string; readonly quantity: number; readonly state: string }[];
    readonly money?: { readonly amountMinor: number; readonly currency: string; readonly state: string };
  };
  readonly tried: readonly { readonly at: string; readonly what: string }[];
  readonly choices: readonly { readonly decision: string; readonly effect: string }[];
}

interface Case extends Item {
  /** Whose inbox it is in. */
  readonly service: string;
}

interface Past {
  readonly orderId: string;
  readonly at: string;
  readonly decisions: readonly {
    readonly at: string;
    readonly decision: string;
    readonly by: string;
    readonly reason: string;
  }[];
  readonly became: string;
  readonly isOver: boolean;
}

/** How many past cases of each service are shown at first, how many more at a time, and at most. */
const PAST = { first: 20, most: 100 };

/** Both lists are read anew with whatever is told of the tables that know what waits for a person. */
const whileOpen = {
  isLive: () => true,
  isPartial: ({ away }: Answers<unknown>) => away.length > 0,
  concerns: (change: KnownChange) => 'shown' in change && /-(todo|hold)$/.test(change.shown.readModel),
};

/** The longest waiting first. */
async function readCases() {
  const answers = await askEach('GET /admin/attention', async (service): Promise<Case[]> => {
    const { items } = await ask<{ items: Item[] }>(`/${service}/admin/attention?limit=100`);
    return items.map((item) => ({ ...item, service }));
  });
  const cases = answers.found.flatMap(({ answer }) => answer).sort((a, b) => (a.since < b.since ? -1 : 1));
  return { ...answers, cases };
}

export function Inbox() {
  const cases = useLoaded('inbox', readCases, whileOpen);
  const [decided, setDecided] = useState<string>();
  return (
    <>
      <h1>Inbox</h1>
      <p class="lead">What the program may not decide alone.</p>
      {decided !== undefined && (
        <p class="done" role="status">
          {decided}
        </p>
      )}
      <Show of={cases}>
        {(answers) => (
          <>
            <Away of={answers} />
            {answers.cases.map((each) => (
              <CaseView
                key={`${each.service} ${each.orderId}`}
                of={each}
                onDecided={(decision) => {
                  setDecided(`${words(decision)}: decided for order ${short(each.orderId)}.`);
                  void cases.load();
                }}
              />
            ))}
            {answers.cases.length === 0 && (
              <Empty>
                Nothing waits for a decision{answers.away.length > 0 && ' in what has answered'}. An order paid with{' '}
                <em>Capture refused</em> will.
              </Empty>
            )}
          </>
        )}
      </Show>
      <h2 class="section">Decided, or ended by itself</h2>
      <PastCases />
    </>
  );
}

/** The latest first. */
async function readPast(limit: number) {
  const answers = await askEach('GET /admin/past-attention', (service) =>
    ask<{ items: Past[]; next?: string }>(`/${service}/admin/past-attention?limit=${limit}`),
  );
  const cases = answers.found.flatMap(({ service, answer }) => answer.items.map((item) => ({ ...item, service })));
  return {
    ...answers,
    cases: cases.sort((a, b) => (a.at < b.at ? 1 : -1)),
    hasMore: answers.found.some(({ answer }) => answer.next !== undefined),
  };
}

function PastCases() {
  const [limit, setLimit] = useState(PAST.first);
  const past = useLoaded(`past ${limit}`, () => readPast(limit), whileOpen);
  return (
    <Show of={past}>
      {(answers) => (
        <>
          <Away of={answers} />
          {answers.cases.length > 0 ? (
            <PastTable of={answers.cases} />
          ) : (
            <p class="muted">Nobody has decided anything yet{answers.away.length > 0 && ' in what has answered'}.</p>
          )}
          {answers.hasMore && limit < PAST.most && (
            <p class="pager">
              <button type="button" class="quiet" onClick={() => setLimit(limit + PAST.first)}>
                Older
              </button>
            </p>
          )}
        </>
      )}
    </Show>
  );
}

function PastTable({ of: cases }: { of: readonly (Past & { readonly service: string })[] }) {
  return (
    <table class="orders">
      <thead>
        <tr>
          <th scope="col">Order</th>
          <th scope="col">Decided</th>
          <th scope="col">What became of it</th>
          <th scope="col">When</th>
        </tr>
      </thead>
      <tbody>
        {cases.map(({ service, orderId, at, decisions, became, isOver }) => (
          <tr key={`${service} ${orderId}`}>
            <th scope="row">
              <a href={`/console/orders/${orderId}`}>
                <code>{short(orderId)}</code>
              </a>{' '}
              <span class="muted small">{service}</span>
            </th>
            <td class="text">
              {decisions.length === 0 && <span class="muted">By nobody: it ended by itself.</span>}
              {decisions.map(({ at: decidedAt, decision, by, reason }) => (
                <div key={`${decidedAt} ${decision}`}>
                  <strong>{words(decision)}</strong> {reason}{' '}
                  <span class="muted small">
                    <code title={by}>{short(by)}</code>, {dayOf(decidedAt)}
                  </span>
                </div>
              ))}
            </td>
            <td class="text">
              {became} {!isOver && <span class="warn">It still goes on.</span>}
            </td>
            <td>
              <time dateTime={at}>{dayOf(at)}</time>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function CaseView({ of: item, onDecided }: { of: Case; onDecided: (decision: string) => void }) {
  const { service, orderId, since, happened, held, tried, choices } = item;
  const [decision, setDecision] = useState<string>();
  const [reason, setReason] = useState('');
  const [isSending, setSending] = useState(false);
  const [problem, setProblem] = useState<unknown>();
  const name = `${service}-${orderId}`;

  const decide = async (event: Event) => {
    event.preventDefault();
    setSending(true);
    setProblem(undefined);
    try {
      await ask(`/${service}/admin/attention/${orderId}`, { method: 'POST', body: { decision, reason } });
      onDecided(decision!);
    } catch (error) {
      setProblem(error);
    }
    setSending(false);
  };

  return (
    <article class="card case" aria-labelledby={name}>
      <header>
        <h2 id={name}>
          Order{' '}
          <a href={`/console/orders/${orderId}`}>
            <code>{short(orderId)}</code>
          </a>
        </h2>
        <p class="muted small">
          {service}, since <time dateTime={since}>{dayOf(since)}</time>
        </p>
      </header>
      <p>{happened}</p>
      <div class="columns">
        <section>
          <h3>Held</h3>
          <ul class="lines">
            {held.lines.map(({ sku, quantity, state }) => (
              <li key={sku}>
                <span>
                  {quantity} × {words(sku)}
                </span>
                <span class="muted">{state}</span>
              </li>
            ))}
            {held.money && (
              <li>
                <span>{money(held.money)}</span>
                <span class="muted">{held.money.state}</span>
              </li>
            )}
          </ul>
        </section>
        <section>
          <h3>Tried</h3>
          {tried.length === 0 && <p class="muted">Nothing yet.</p>}
          <ol class="tried">
            {tried.map(({ at, what }) => (
              <li key={`${at} ${what}`}>
                {what} <span class="muted small">{dayOf(at)}</span>
              </li>
            ))}
          </ol>
        </section>
      </div>
      {may(`POST /${service}/admin/attention/:orderId`) && (
        <form onSubmit={decide}>
          <fieldset>
            <legend>Decide</legend>
            {choices.map(({ decision: choice, effect }) => (
              <label key={choice} class="choice">
                <input
                  type="radio"
                  required
                  name={name}
                  checked={decision === choice}
                  onChange={() => setDecision(choice)}
                />
                <span>
                  <strong>{words(choice)}</strong> {effect}
                </span>
              </label>
            ))}
          </fieldset>
          <Reason value={reason} onInput={setReason} />
          {problem !== undefined && <Trouble error={problem} />}
          <button type="submit" disabled={isSending}>
            {isSending ? 'Deciding …' : 'Decide'}
          </button>
        </form>
      )}
    </article>
  );
}
