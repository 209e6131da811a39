/** What stands beside the picture of a story: a fact with all that is known of it, what is to come, and the facts as a list. */
import { useState } from 'preact/hooks';
import type { Ahead, Story, StoryFact } from '../../../gateway/src/api.js';
import { duration, timeOf, words } from '../format.js';
import { may, shop } from '../gateway.js';
import { Trouble } from '../parts.js';

const msBetween = (from: string, to: string) => Math.max(Date.parse(to) - Date.parse(from), 0);

export function FactDetails({
  fact,
  story,
  onSelect,
}: {
  fact: StoryFact | undefined;
  story: Story;
  onSelect: (factId: string) => void;
}) {
  if (!fact)
    return (
      <section class="card" aria-label="The chosen fact">
        <h2>A fact</h2>
        <p class="muted">
          Choose a point of the picture, or a line of the list below: what is known of it stands here.
        </p>
      </section>
    );
  const cause = story.facts.find(({ id }) => id === fact.causationId && id !== fact.id);
  const { message } = fact;
  return (
    <section class="card fact" aria-label="The chosen fact">
      <h2>{fact.type}</h2>
      <dl>
        <dt>Recorded</dt>
        <dd>
          {timeOf(fact.recordedAt)} by {fact.service}
        </dd>
        <dt>Stream</dt>
        <dd>
          <code>{fact.stream}</code> revision {fact.revision}, position {fact.position}
        </dd>
        <dt>Cause</dt>
        <dd>
          {cause ? (
            <>
              <button type="button" class="link" onClick={() => onSelect(cause.id)}>
                {cause.type}
              </button>{' '}
              of {cause.service}, {duration(msBetween(cause.recordedAt, fact.recordedAt))} before
            </>
          ) : (
            <code>{fact.causationId}</code>
          )}
        </dd>
        {message && (
          <>
            <dt>Message</dt>
            <dd>
              <code>{message.topic}</code> partition {message.partition}, offset {message.offset}
            </dd>
          </>
        )}
        {fact.actor !== undefined && (
          <>
            <dt>Actor</dt>
            <dd>{fact.actor}</dd>
          </>
        )}
        {fact.reason !== undefined && (
          <>
            <dt>Reason</dt>
            <dd>{fact.reason}</dd>
          </>
        )}
        {Object.entries(fact.shown).map(([readModel, at]) => (
          <>
            <dt>{readModel}</dt>
            <dd>
              {at === null ? (
                <strong class="warn">does not show it yet</strong>
              ) : (
                `shows it since ${timeOf(at)}, ${duration(msBetween(fact.recordedAt, at))} after`
              )}
            </dd>
          </>
        ))}
        <dt>Correlation</dt>
        <dd>
          <code>{fact.correlationId}</code>
        </dd>
        {fact.traceparent !== undefined && (
          <>
            <dt>Trace</dt>
            <dd>
              <code>{fact.traceparent}</code>
            </dd>
          </>
        )}
      </dl>
      <h3>Data</h3>
      <pre tabIndex={0} aria-label="Data">
        {JSON.stringify(fact.data, null, 2)}
      </pre>
    </section>
  );
}

export function WhatComes({
  story,
  ahead,
  onChanged,
}: {
  story: Story;
  ahead: Ahead;
  onChanged: (() => void) | undefined;
}) {
  const { awaits, deadlineAt, choices } = ahead;
  return (
    <section class="card" aria-label="What comes">
      <h2>What comes</h2>
      {awaits.length === 0 && deadlineAt === undefined && <p class="muted">Nothing is awaited.</p>}
      <ul class="awaits">
        {awaits.map(({ what, from, since, reminderAt }) => (
          <li key={`${what} ${from}`}>
            <strong>{what}</strong> from {from}, since {timeOf(since)} ({duration(msBetween(since, story.at))})
            {reminderAt !== undefined && <span class="muted"> · next reminder {timeOf(reminderAt)}</span>}
          </li>
        ))}
      </ul>
      {deadlineAt !== undefined && <p>Cancelled unless it is confirmed by {timeOf(deadlineAt)}.</p>}
      {choices.length > 0 && <h3>If somebody decided now</h3>}
      {choices.map(({ name, allowed, detail, code }) => (
        <div key={name} class="choice" data-allowed={allowed}>
          <p>
            <strong>{words(name)}</strong> {detail}
            {!allowed && code !== undefined && (
              <span class="muted small">
                {' '}
                <code>{code}</code>
              </span>
            )}
          </p>
          {name === 'cancel' && allowed && onChanged && may('POST /orders/:orderId/cancel') && (
            <Cancel orderId={story.orderId} onCancelled={onChanged} />
          )}
        </div>
      ))}
    </section>
  );
}

function Cancel({ orderId, onCancelled }: { orderId: string; onCancelled: () => void }) {
  const [problem, setProblem] = useState<unknown>();
  const cancel = async () => {
    setProblem(undefined);
    await shop.cancelOrder(orderId).then(onCancelled, setProblem);
  };
  return (
    <>
      {problem !== undefined && <Trouble error={problem} />}
      <button type="button" class="quiet" onClick={() => void cancel()}>
        Cancel the order
      </button>
    </>
  );
}

/** What went wrong meanwhile, where a story knows it. */
export function TroubleList({ story, at }: { story: Story; at: string | undefined }) {
  const { troubles = [] } = story;
  if (troubles.length === 0) return null;
  return (
    <section class="card" aria-label="What went wrong meanwhile">
      <h2>What went wrong meanwhile</h2>
      <ol class="tried">
        {troubles.map((trouble) => (
          <li key={`${trouble.at} ${trouble.what}`} data-later={at !== undefined && trouble.at > at}>
            {trouble.what}{' '}
            <span class="muted small">
              {timeOf(trouble.at)}
              {trouble.until !== undefined && `, over after ${duration(msBetween(trouble.at, trouble.until))}`}
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}

const WAYS = { call: 'to a call', webhook: 'by a webhook' } as const;

/** What payment asked the provider, and what it was answered. */
export function ExchangeList({ story, onSelect }: { story: Story; onSelect: (factId: string) => void }) {
  const { exchanges = [] } = story;
  if (exchanges.length === 0) return null;
  const factOf = (id: string | undefined) => story.facts.find((fact) => fact.id === id);
  return (
    <section class="card exchanges" aria-label="With the provider">
      <h2>With the provider</h2>
      <table>
        <thead>
          <tr>
            <th scope="col">Asked to</th>
            <th scope="col">Answer</th>
            <th scope="col" class="number">
              After
            </th>
          </tr>
        </thead>
        <tbody>
          {exchanges.map(({ what, asked, answer, by, dropped }) => {
            const [ask, told] = [factOf(asked), factOf(answer)];
            return (
              <tr key={`${asked} ${answer}`}>
                <td>{ask ? what : <span class="muted">not asked</span>}</td>
                <td>
                  {told && (
                    <button type="button" class="link" onClick={() => onSelect(told.id)}>
                      {told.type}
                    </button>
                  )}{' '}
                  {told && by && <span class="muted small">{WAYS[by]}</span>}
                  {!told && <span class={dropped ? 'muted' : 'warn'}>{dropped ? 'no longer awaited' : 'not yet'}</span>}
                </td>
                <td class="number">
                  {ask && (told || !dropped) && duration(msBetween(ask.recordedAt, told?.recordedAt ?? story.at))}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}

export function FactList({
  story,
  at,
  selected,
  onSelect,
}: {
  story: Story;
  at: string | undefined;
  selected: string | undefined;
  onSelect: (factId: string) => void;
}) {
  const first = story.facts[0];
  return (
    <section class="card list" aria-label="All facts">
      <h2>All facts</h2>
      <table>
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col" class="number">
              After
            </th>
            <th scope="col">Service</th>
            <th scope="col">Fact</th>
          </tr>
        </thead>
        <tbody>
          {story.facts.map(({ id, service, type, recordedAt }) => (
            <tr key={id} data-later={at !== undefined && recordedAt > at} aria-current={id === selected || undefined}>
              <td>
                <time dateTime={recordedAt}>{timeOf(recordedAt)}</time>
              </td>
              <td class="number">{duration(msBetween(first!.recordedAt, recordedAt))}</td>
              <td>{service}</td>
              <td>
                <button type="button" class="link" onClick={() => onSelect(id)}>
                  {type}
                </button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
