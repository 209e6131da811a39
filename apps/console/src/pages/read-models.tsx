/** How current the read models are; an operator rebuilds one, compares it with its events, or puts the table before back. */
import { useState } from 'preact/hooks';
import { dayOf, duration } from '../format.js';
import { ask, askEach, may } from '../gateway.js';
import { useLoaded } from '../live.js';
import { Away, ByAndWhen, Reason, Show, Trouble } from '../parts.js';

type Action = keyof typeof ACTIONS;
type Row = Readonly<Record<string, unknown>>;

interface Replay {
  readonly id: string;
  readonly projection: string;
  readonly action: Action;
  readonly actor: string;
  readonly reason: string;
  readonly askedAt: string;
  readonly switchedAt?: string;
  readonly endedAt?: string;
  readonly status: 'waiting' | 'running' | 'done' | 'failed';
  readonly progress?: { readonly events: number; readonly position: number; readonly target: number };
  readonly result?: {
    readonly events?: number;
    readonly rows?: number;
    readonly differing?: number;
    readonly differences?: readonly Difference[];
    readonly stale?: string;
  };
  readonly error?: string;
}

interface Difference {
  readonly key: Row;
  readonly table?: Row;
  readonly events?: Row;
  readonly columns: readonly string[];
}

interface ReadModel {
  readonly name: string;
  readonly table: string;
  readonly position: number;
  readonly head: number;
  readonly lag: number;
  readonly behindSeconds?: number;
  readonly status?: 'stuck';
  readonly seconds?: number;
  readonly stale?: 'code' | 'columns';
  readonly previous?: { readonly table: string; readonly position: number };
  readonly replay?: Replay;
}

const ACTIONS = { rebuild: 'Rebuild', compare: 'Compare', rollback: 'Roll back' } as const;

/** How many replays of each service are listed. */
const REPLAYS = 20;

const count = new Intl.NumberFormat('en-GB');

const many = (n: number, what: string) => `${count.format(n)} ${what}${n === 1 ? '' : 's'}`;

async function readService(service: string) {
  const at = `/${service}/admin/projections`;
  const [readModels, replays] = await Promise.all([
    ask<{ items: ReadModel[] }>(at),
    ask<{ items: Replay[] }>(`${at}/replays?limit=${REPLAYS}`),
  ]);
  return { readModels: readModels.items, replays: replays.items };
}

export function ReadModels() {
  const loaded = useLoaded('read-models', () => askEach('GET /admin/projections', readService), { isLive: () => true });
  return (
    <>
      <h1>Read models</h1>
      <p class="lead">Tables that the events give. One can be rebuilt from all events while it is read and written.</p>
      <Show of={loaded}>
        {(answers) => {
          const replays = answers.found
            .flatMap(({ service, answer }) => answer.replays.map((replay) => ({ ...replay, service })))
            .sort((a, b) => (a.askedAt < b.askedAt ? 1 : -1));
          return (
            <>
              <Away of={answers} />
              {answers.found.map(({ service, answer }) => (
                <section key={service} aria-labelledby={`of-${service}`}>
                  <h2 id={`of-${service}`} class="section">
                    {service}
                  </h2>
                  {answer.readModels.map((readModel) => (
                    <ReadModelView
                      key={readModel.name}
                      of={readModel}
                      service={service}
                      onAsked={() => void loaded.load()}
                    />
                  ))}
                </section>
              ))}
              <h2 class="section">What was asked for</h2>
              {replays.length > 0 ? <Replays of={replays} /> : <p class="muted">Nobody has asked for anything yet.</p>}
            </>
          );
        }}
      </Show>
    </>
  );
}

function ReadModelView({ of, service, onAsked }: { of: ReadModel; service: string; onAsked: () => void }) {
  const { name, position, head, stale, previous, replay } = of;
  const [reason, setReason] = useState('');
  const [isSending, setSending] = useState(false);
  const [problem, setProblem] = useState<unknown>();
  const isOpen = replay !== undefined && replay.endedAt === undefined;

  const askFor = async (event: SubmitEvent) => {
    event.preventDefault();
    const action = (event.submitter as HTMLButtonElement).value;
    setSending(true);
    setProblem(undefined);
    try {
      await ask(`/${service}/admin/projections/${name}/replays`, { method: 'POST', body: { action, reason } });
      setReason('');
      onAsked();
    } catch (error) {
      setProblem(error);
    }
    setSending(false);
  };

  return (
    <article class="card case read-model" aria-labelledby={name}>
      <header>
        <h3 id={name}>{name}</h3>
        <Pace of={of} />
        <p class="muted small">
          at position {count.format(position)} of {count.format(head)}
        </p>
      </header>
      {stale && (
        <p class="warn">Its table was built {stale === 'code' ? 'by other code' : 'for other columns'}: rebuild it.</p>
      )}
      {replay && <LatestReplay of={replay} />}
      {may(`POST /${service}/admin/projections/:name/replays`) && (
        <details>
          <summary>Rebuild, compare or roll back</summary>
          <form onSubmit={askFor}>
            <Reason value={reason} onInput={setReason} />
            <p class="muted small">
              {previous
                ? `Rolling back puts ${previous.table} in use, which shows the events up to position ${count.format(previous.position)}; it catches up first.`
                : 'There is no table to roll back to: a rebuild keeps the one before.'}
            </p>
            {problem !== undefined && <Trouble error={problem} />}
            <p class="buttons">
              <button type="submit" value="rebuild" disabled={isSending || isOpen}>
                {ACTIONS.rebuild}
              </button>
              <button type="submit" value="compare" class="quiet" disabled={isSending || isOpen}>
                {ACTIONS.compare}
              </button>
              <button type="submit" value="rollback" class="quiet" disabled={isSending || isOpen || !previous}>
                {ACTIONS.rollback}
              </button>
            </p>
          </form>
        </details>
      )}
    </article>
  );
}

/** Whether it is current, moves or stands still, and how far it is behind. */
function Pace({ of: { lag, behindSeconds, status, seconds = 0 } }: { of: ReadModel }) {
  if (lag === 0) return <span class="status">current</span>;
  const behind = `${many(lag, 'position')}${behindSeconds === undefined ? '' : `, ${duration(behindSeconds * 1_000)}`} behind`;
  return (
    <span class="status" data-status={status}>
      {status === 'stuck' ? `stands still for ${duration(seconds * 1_000)}` : 'moves'}, {behind}
    </span>
  );
}

function LatestReplay({ of: replay }: { of: Replay }) {
  const { action, status, actor, reason, askedAt, progress, switchedAt, result } = replay;
  const isComparing = switchedAt !== undefined || (progress !== undefined && progress.position >= progress.target);
  return (
    <div class="replay" role="status">
      <p>
        <strong>{ACTIONS[action]}</strong>{' '}
        <span class={status === 'failed' ? 'warn' : undefined}>{whatCame(replay)}</span>
      </p>
      {status === 'running' && progress && (
        <p class="progress">
          <progress
            aria-label={`${ACTIONS[action]} of ${replay.projection}`}
            value={progress.position}
            max={progress.target}
          />
          <span class="small">
            {many(progress.events, 'event')} read, position {count.format(progress.position)} of{' '}
            {count.format(progress.target)}
            {isComparing && action !== 'rollback' && ', comparing'}
          </span>
        </p>
      )}
      {result?.differences && result.differences.length > 0 && <Differences of={result.differences} />}
      <p class="muted small">
        {actor}, {dayOf(askedAt)}: {reason}
      </p>
    </div>
  );
}

/** In words. */
function whatCame({ action, status, error, result = {}, switchedAt }: Replay): string {
  if (status === 'waiting') return 'waits for its turn.';
  if (status === 'running') return switchedAt === undefined ? 'is under way.' : 'is in use, and is compared.';
  if (status === 'failed') return `failed: ${error}`;
  const { events, rows, differing, stale } = result;
  if (events === undefined) return 'is done. Its instance ended before it had counted.';
  const built = stale === undefined ? '' : ' Its table was built by another version of the code.';
  if (action === 'rollback') return `is done: the table before is in use, after ${many(events, 'event')} more.${built}`;
  const than = action === 'rebuild' ? 'the previous table' : 'the table in use';
  return `is done: ${many(rows ?? 0, 'row')} from ${many(events, 'event')}; ${many(differing ?? 0, 'row')} other than in ${than}.`;
}

function Differences({ of: differences }: { of: readonly Difference[] }) {
  return (
    <ul class="differences">
      {differences.map(({ key, table, events, columns }) => (
        <li key={JSON.stringify(key)}>
          <code>{Object.values(key).map(String).join(' ')}</code>{' '}
          {!table
            ? 'is missing'
            : !events
              ? 'should not exist'
              : columns.map((column) => (
                  <span key={column}>
                    {column} <del>{JSON.stringify(table[column])}</del> <ins>{JSON.stringify(events[column])}</ins>{' '}
                  </span>
                ))}
        </li>
      ))}
    </ul>
  );
}

function Replays({ of: replays }: { of: readonly (Replay & { readonly service: string })[] }) {
  return (
    <table class="orders">
      <thead>
        <tr>
          <th scope="col">Read model</th>
          <th scope="col">What</th>
          <th scope="col">What came of it</th>
          <th scope="col">By</th>
          <th scope="col">When</th>
        </tr>
      </thead>
      <tbody>
        {replays.map((replay) => (
          <tr key={replay.id}>
            <th scope="row">
              {replay.projection} <span class="muted small">{replay.service}</span>
            </th>
            <td class="text">
              <strong>{replay.action}</strong> {replay.reason}
            </td>
            <td class={replay.status === 'failed' ? 'text warn' : 'text'}>{whatCame(replay)}</td>
            <ByAndWhen actor={replay.actor} at={replay.askedAt} />
          </tr>
        ))}
      </tbody>
    </table>
  );
}
