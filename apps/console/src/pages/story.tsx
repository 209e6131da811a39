/** An order's story: what happened in every service, when it could be seen, and what comes. */
import { signal } from '@preact/signals';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { LarderProblem, type Order } from '#client';
import type { Story } from '../../../gateway/src/api.js';
import { dayOf, money, short, timeOf, words } from '../format.js';
import { ask, may, shop } from '../gateway.js';
import { useLoaded } from '../live.js';
import { Empty, Show, Status, Trouble } from '../parts.js';
import { path } from '../router.js';
import { ExchangeList, FactDetails, FactList, TroubleList, WhatComes } from '../story/details.js';
import { readStory } from '../story/file.js';
import { isMoving, knownAt, layOut } from '../story/layout.js';
import { Timeline } from '../story/timeline.js';

interface Told {
  /** Undefined while its read model cannot be asked. */
  readonly order: Order | undefined;
  readonly story: Story;
}

/** Once an order is settled its last facts may still be on their way to a read model: so long it is looked at. */
const isLive = ({ order, story }: Told) =>
  !order?.settled || isMoving(story) || story.facts.some(({ shown }) => Object.values(shown).includes(null));

/** Whether a service is missing that may be asked. */
const isPartial = ({ order, story }: Told) =>
  !order || story.missing.some((service) => may(`GET /${service}/admin/stories/:orderId`));

/** The order, unless it cannot be told at present whether there is one. */
async function orderIfThere(orderId: string): Promise<Order | undefined> {
  try {
    return await shop.order(orderId);
  } catch (error) {
    if (error instanceof LarderProblem && error.status < 500) throw error;
    return undefined;
  }
}

export function OrderStory() {
  const orderId = path.value.split('/').at(-1)!;
  const told = useLoaded(
    orderId,
    async (): Promise<Told> => {
      const [order, story] = await Promise.all([
        orderIfThere(orderId),
        ask<Story>(`/orders/${encodeURIComponent(orderId)}/story`),
      ]);
      return { order, story };
    },
    { isLive, isPartial, concerns: (change) => 'shown' in change || change.fact.stream.endsWith(orderId) },
  );
  return (
    <Show of={told}>
      {({ order, story }) => (
        <>
          <header class="story-head">
            <div>
              <h1>
                Order <code>{short(orderId)}</code>
              </h1>
              {order && (
                <p>
                  <Status status={order.status} /> {order.reason !== undefined && `${words(order.reason)}. `}
                  {order.lines.map(({ sku, quantity }) => `${quantity} × ${words(sku)}`).join(', ')},{' '}
                  {money(order.total)}, placed {dayOf(order.placedAt)}
                </p>
              )}
            </div>
            <button type="button" class="quiet" onClick={() => saveStory(story)}>
              Save as a file
            </button>
          </header>
          <StoryView story={story} onChanged={() => void told.load()} />
        </>
      )}
    </Show>
  );
}

/** Kept while somebody looks at other pages. */
const opened = signal<{ story: Story; name: string } | undefined>(undefined);

export function OpenedStory() {
  const [problem, setProblem] = useState<unknown>();
  const open = async (file: File | undefined) => {
    if (!file) return;
    setProblem(undefined);
    try {
      opened.value = { story: await readStory(file), name: file.name };
    } catch (error) {
      setProblem(error);
    }
  };
  const { story, name } = opened.value ?? {};
  return (
    <>
      <h1>{story ? `Order ${short(story.orderId)}` : 'Open a story'}</h1>
      <p class="lead">
        {story
          ? `As ${name} has it, told ${dayOf(story.at)}.`
          : 'A story that was saved with the button on the page of an order, or that npm run simulate or npm run crash kept with --stories.'}
      </p>
      <label class="file">
        {story ? 'Open another file' : 'Choose a file'}
        <input
          type="file"
          accept=".json,application/json"
          onChange={({ currentTarget }) => void open(currentTarget.files?.[0])}
        />
      </label>
      {problem !== undefined && <Trouble error={problem} />}
      {story && <StoryView key={name} story={story} />}
    </>
  );
}

export function StoryView({ story, onChanged }: { story: Story; onChanged?: () => void }) {
  const [selected, select] = useState<string>();
  const [at, setAt] = useState<string>();
  if (story.facts.length === 0)
    return (
      <Empty>Nothing is told: {story.missing.join(', ') || 'no service'} did not answer, or may not be asked.</Empty>
    );
  return (
    <>
      <Missing of={story} isNow={onChanged !== undefined} />
      <section class="card picture" aria-label="The picture">
        <Timeline story={story} at={at} selected={selected} onSelect={select} />
        <Slider story={story} at={at} onMove={setAt} />
      </section>
      <div class="columns story">
        <div class="stack">
          {story.ahead && <WhatComes story={story} ahead={story.ahead} onChanged={onChanged} />}
          <FactDetails fact={story.facts.find(({ id }) => id === selected)} story={story} onSelect={select} />
          <ExchangeList story={story} onSelect={select} />
          <TroubleList story={story} at={at} />
        </div>
        <FactList story={story} at={at} selected={selected} onSelect={select} />
      </div>
    </>
  );
}

/** Names the services that do not answer; what is for staff alone is not missing, and is not there. */
function Missing({ of: { missing }, isNow }: { of: Story; isNow: boolean }) {
  if (missing.length === 0) return null;
  const away = isNow ? missing.filter((service) => may(`GET /${service}/admin/stories/:orderId`)) : missing;
  if (away.length === 0) return <p class="muted">What {missing.join(' and ')} know of it is for staff.</p>;
  return (
    <p class="note" role="status">
      Without {away.join(' and ')}: not answered{!isNow && ', or not to be told to whoever saved it'}.
    </p>
  );
}

/** Hands a story to the browser as a download. */
function saveStory(told: Story): void {
  const url = URL.createObjectURL(new Blob([JSON.stringify(told, null, 2)], { type: 'application/json' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = `order-${told.orderId}.story.json`;
  link.click();
  URL.revokeObjectURL(url);
}

/** Goes back in time, from one instant to the one before. */
function Slider({
  story,
  at,
  onMove,
}: {
  story: Story;
  at: string | undefined;
  onMove: (at: string | undefined) => void;
}) {
  const { instants } = useMemo(() => layOut(story), [story]);
  const last = instants.length - 1;
  const index = at === undefined ? last : Math.max(instants.indexOf(at), 0);
  // A story that is told anew may have other instants.
  useEffect(() => {
    if (at !== undefined && !instants.includes(at)) onMove(undefined);
  }, [instants, at]);
  const { facts, readModels } = knownAt(story, at ?? story.at);
  return (
    <div class="slider">
      <label>
        <span>Back in time</span>
        <input
          type="range"
          min={0}
          max={last}
          value={index}
          aria-valuetext={at === undefined ? 'now' : timeOf(at)}
          onInput={({ currentTarget: { valueAsNumber } }) =>
            onMove(valueAsNumber >= last ? undefined : instants[valueAsNumber])
          }
        />
      </label>
      <p aria-live="polite">
        <strong>{at === undefined ? `Now, ${timeOf(story.at)}` : timeOf(at)}</strong> {facts} of {story.facts.length}{' '}
        facts known
        {readModels.map(({ name, shown, of }) => (
          <span key={name} class={shown < of ? 'warn' : 'muted'}>
            {' '}
            · {name} {shown === of ? 'shows all' : `shows ${shown} of ${of}`}
          </span>
        ))}
      </p>
    </div>
  );
}
