/** Messages that could not be handled, by what they have in common; what a person decides about them, and what became of it. */
import { useState } from 'preact/hooks';
import { dayOf, short } from '../format.js';
import { ask, askEach, may } from '../gateway.js';
import { useLoaded } from '../live.js';
import { Away, ByAndWhen, Empty, Reason, Show } from '../parts.js';

type Action = 'retry' | 'skip';

interface Kind {
  readonly topic: string;
  readonly type: string;
  /** What their errors begin with. */
  readonly error: string;
  readonly count: number;
}

interface Letter {
  readonly id: string;
  readonly key: string;
  readonly message: object;
  readonly attempts: number;
  readonly error: string;
  readonly deadAt: string;
}

interface Decision {
  readonly id: string;
  readonly action: Action;
  readonly actor: string;
  readonly reason: string;
  readonly decidedAt: string;
  readonly key: string;
  readonly message: { readonly type: string };
  readonly outcome?: keyof typeof OUTCOMES;
}

interface Of {
  /** Whose they are. */
  readonly service: string;
}

/** What a decision led to, where it was made. */
interface Told {
  readonly text: string;
  readonly refused: readonly { readonly id: string; readonly error: unknown }[];
}

const OUTCOMES = {
  skipped: 'skipped',
  waiting: 'waits for its attempt',
  handled: 'handled',
  'dead-again': 'dead again',
} as const;

/** How many decisions of each service are shown. */
const DECISIONS = 20;
/** How many letters of a kind are shown; all of them can be decided about. */
const LETTERS = 50;

const LIST = 'GET /admin/dead-letters';

async function readService(service: string) {
  const at = `/${service}/admin/dead-letters`;
  const [kinds, decisions] = await Promise.all([
    ask<{ items: Kind[]; others: number }>(`${at}/kinds`),
    ask<{ items: Decision[] }>(`${at}/decisions?limit=${DECISIONS}`),
  ]);
  return { kinds, decisions: decisions.items };
}

export function DeadLetters() {
  const loaded = useLoaded('dead-letters', () => askEach(LIST, readService), { isLive: () => true });
  const [told, setTold] = useState<Told>();
  return (
    <>
      <h1>Dead letters</h1>
      <p class="lead">Messages that could not be handled. Later ones with the same key wait behind each of them.</p>
      {told && <WhatBecame of={told} />}
      <Show of={loaded}>
        {(answers) => {
          const kinds = answers.found.flatMap(({ service, answer }) =>
            answer.kinds.items.map((kind) => ({ ...kind, service })),
          );
          const others = answers.found.reduce((sum, { answer }) => sum + answer.kinds.others, 0);
          const decisions = answers.found
            .flatMap(({ service, answer }) => answer.decisions.map((decision) => ({ ...decision, service })))
            .sort((a, b) => (a.decidedAt < b.decidedAt ? 1 : -1));
          return (
            <>
              <Away of={answers} />
              {kinds
                .sort((a, b) => b.count - a.count)
                .map((kind) => (
                  <KindView
                    key={`${kind.service} ${kind.topic} ${kind.type} ${kind.error}`}
                    of={kind}
                    onDecided={(what) => {
                      setTold(what);
                      void loaded.load();
                    }}
                  />
                ))}
              {others > 0 && <p class="lead">{others} more are of further kinds, which show when there are fewer.</p>}
              {kinds.length === 0 && answers.found.length > 0 && (
                <Empty>
                  No message waits for a person{answers.away.length > 0 && ' in what has answered'}: every one was
                  handled, or is being tried again.
                </Empty>
              )}
              <h2 class="section">Decided</h2>
              {decisions.length > 0 ? (
                <Decisions of={decisions} />
              ) : (
                <p class="muted">Nobody has decided anything yet.</p>
              )}
            </>
          );
        }}
      </Show>
    </>
  );
}

function WhatBecame({ of: { text, refused } }: { of: Told }) {
  return (
    <div class="done" role="status">
      <p>{text}</p>
      {refused.map(({ id, error }) => (
        <p key={id} class="warn">
          Letter {id}: {error instanceof Error ? error.message : String(error)}
        </p>
      ))}
    </div>
  );
}

function KindView({ of: kind, onDecided }: { of: Kind & Of; onDecided: (told: Told) => void }) {
  const { service, topic, type, error, count } = kind;
  const [isOpen, setOpen] = useState(false);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [reason, setReason] = useState('');
  const [isSending, setSending] = useState(false);
  const name = `${service}-${type}-${error}`;
  const many = chosen.size > 0 ? `${chosen.size} of ${count}` : count === 1 ? 'it' : `all ${count}`;

  const decide = async (event: SubmitEvent) => {
    event.preventDefault();
    const action = (event.submitter as HTMLButtonElement).value as Action;
    setSending(true);
    const told = await (chosen.size > 0
      ? decideEach(service, action, chosen, reason)
      : decideAll(kind, action, reason));
    setSending(false);
    setChosen(new Set());
    onDecided(told);
  };

  return (
    <article class="card case" aria-labelledby={name}>
      <header>
        <h2 id={name}>
          {count} × {type}
        </h2>
        <p class="muted small">
          {service} could not handle what it read from {topic}
        </p>
      </header>
      <pre>{error}</pre>
      <details onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
        <summary>Look at {count === 1 ? 'it' : 'them'}, or choose some</summary>
        {isOpen && <Letters of={kind} chosen={chosen} onChoose={setChosen} />}
      </details>
      {may(`POST /${service}/admin/dead-letters/retry`) && (
        <form onSubmit={decide}>
          <Reason value={reason} onInput={setReason} />
          <p class="buttons">
            <button type="submit" value="retry" disabled={isSending}>
              Retry {many}
            </button>
            <button type="submit" value="skip" class="quiet" disabled={isSending}>
              Skip {many}
            </button>
          </p>
        </form>
      )}
    </article>
  );
}

const filterOf = ({ topic, type, error }: Kind) => ({ topic, type, ...(error !== '' && { error }) });

const DONE = { retry: 'tried again', skip: 'given up' } as const;

const tell = (count: number, action: Action) =>
  `${count} ${count === 1 ? 'letter is' : 'letters are'} ${DONE[action]}.`;

/** As many requests as it takes: each decides about some hundred. */
async function decideAll(kind: Kind & Of, action: Action, reason: string): Promise<Told> {
  let count = 0;
  try {
    for (let cursor: string | undefined, isFirst = true; isFirst || cursor !== undefined; isFirst = false) {
      const answer = await ask<{ retried?: number; skipped?: number; next?: string }>(
        `/${kind.service}/admin/dead-letters/${action}`,
        { method: 'POST', body: { ...filterOf(kind), reason, ...(cursor !== undefined && { cursor }) } },
      );
      count += answer.retried ?? answer.skipped ?? 0;
      cursor = answer.next;
    }
    return { text: tell(count, action), refused: [] };
  } catch (error) {
    return { text: tell(count, action), refused: [{ id: 'after these', error }] };
  }
}

async function decideEach(service: string, action: Action, ids: Iterable<string>, reason: string): Promise<Told> {
  const refused: Told['refused'][number][] = [];
  let count = 0;
  for (const id of ids) {
    try {
      await ask(`/${service}/admin/dead-letters/${id}/${action}`, { method: 'POST', body: { reason } });
      count++;
    } catch (error) {
      refused.push({ id, error });
    }
  }
  return { text: tell(count, action), refused };
}

function Letters({
  of: kind,
  chosen,
  onChoose,
}: {
  of: Kind & Of;
  chosen: ReadonlySet<string>;
  onChoose: (chosen: ReadonlySet<string>) => void;
}) {
  const { service, count } = kind;
  const asked = new URLSearchParams({ ...filterOf(kind), limit: `${LETTERS}` });
  const letters = useLoaded(
    `${service} ${asked}`,
    () => ask<{ items: Letter[] }>(`/${service}/admin/dead-letters?${asked}`),
    { isLive: () => true },
  );
  const choose = (id: string, isChosen: boolean) =>
    onChoose(new Set(isChosen ? [...chosen, id] : [...chosen].filter((each) => each !== id)));
  return (
    <Show of={letters}>
      {({ items }) => (
        <>
          <ul class="letters">
            {items.map(({ id, key, message, attempts, error, deadAt }) => (
              <li key={id}>
                <label class="choice">
                  <input
                    type="checkbox"
                    checked={chosen.has(id)}
                    onChange={({ currentTarget }) => choose(id, currentTarget.checked)}
                  />
                  <span>
                    Letter {id}, key <code>{short(key)}</code>, dead since {dayOf(deadAt)}, tried{' '}
                    {attempts === 1 ? 'once' : `${attempts} times`}
                  </span>
                </label>
                <details>
                  <summary>Its error and message</summary>
                  <pre tabIndex={0}>
                    {error}
                    {'\n\n'}
                    {JSON.stringify(message, null, 2)}
                  </pre>
                </details>
              </li>
            ))}
          </ul>
          {count > items.length && items.length === LETTERS && <p class="muted">The oldest {LETTERS} are shown.</p>}
        </>
      )}
    </Show>
  );
}

function Decisions({ of: decisions }: { of: readonly (Decision & Of)[] }) {
  return (
    <table class="orders">
      <thead>
        <tr>
          <th scope="col">Message</th>
          <th scope="col">Decision</th>
          <th scope="col">What became of it</th>
          <th scope="col">By</th>
          <th scope="col">When</th>
        </tr>
      </thead>
      <tbody>
        {decisions.map(({ id, service, action, actor, reason, decidedAt, key, message, outcome }) => (
          <tr key={id}>
            <th scope="row" class="text">
              {message.type} <code>{short(key)}</code> <span class="muted small">{service}</span>
            </th>
            <td class="text">
              <strong>{action}</strong> {reason}
            </td>
            <td class={outcome === 'dead-again' ? 'warn' : undefined}>{outcome ? OUTCOMES[outcome] : 'not known'}</td>
            <ByAndWhen actor={actor} at={decidedAt} />
          </tr>
        ))}
      </tbody>
    </table>
  );
}
