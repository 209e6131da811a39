/** Simulated worlds: the shop in virtual time, in which everything goes wrong that its seed says, run in this browser. */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { LarderProblem } from '#client';
import { duration, words } from '../format.js';
import { ask } from '../gateway.js';
import { useLoaded } from '../live.js';
import { Empty, Show, Trouble } from '../parts.js';
import { goTo, path, query } from '../router.js';
import { addressOf, MAX_SEED, readAddress, readOnly, type WorldAddress } from '../worlds/address.js';
import type { Planned, Rule, Thread, Threads, World } from '../worlds/messages.js';
import { WorldThread } from '../worlds/thread.js';
import { StoryView } from './story.js';

/** How many worlds are run at most until one breaks a rule. */
const MOST_WORLDS = 500;

/** None where they are not built. */
async function readThreads(): Promise<Threads> {
  return ask<Threads>('/console/worlds.json').catch((error: unknown) => {
    if (error instanceof LarderProblem && error.status === 404) return [];
    throw error;
  });
}

export function Worlds() {
  const threads = useLoaded('threads', readThreads);
  return (
    <>
      <h1>Worlds</h1>
      <p class="lead">
        The three services as they are, on servers in memory and in virtual time. What goes wrong follows from the seed,
        so a world is the same wherever it is run: its address is all of it.
      </p>
      <Show of={threads}>
        {(found) =>
          found.length === 0 ? (
            <Empty>
              No world is built into this console. <code>npm run build</code> builds them.
            </Empty>
          ) : (
            <Chosen threads={found} />
          )
        }
      </Show>
    </>
  );
}

/** The world that the address names. */
function Chosen({ threads }: { threads: Threads }) {
  const { address, thread, problem } = useMemo(() => {
    try {
      const address = readAddress(path.value, query.value);
      const thread = threads.find(({ mutant }) => mutant === address?.mutant);
      if (!thread) throw new Error(`No bug is called “${address?.mutant}”.`);
      return { address, thread };
    } catch (problem) {
      return { problem };
    }
  }, [threads, path.value, query.value]);
  const key = address && addressOf(address);
  return (
    <>
      {problem !== undefined && <Trouble error={problem} />}
      <Choice key={`choice ${key}`} threads={threads} address={address} />
      {address && thread ? (
        <Run key={key} address={address} thread={thread} />
      ) : (
        <Examples threads={threads.filter(({ mutant }) => mutant !== undefined)} />
      )}
    </>
  );
}

function Choice({ threads, address }: { threads: Threads; address: WorldAddress | undefined }) {
  const [seed, setSeed] = useState(`${address?.seed ?? threads[0]!.seed}`);
  const [mutant, setMutant] = useState(address?.mutant ?? '');
  const [only, setOnly] = useState(address?.only?.join(',') ?? '');
  const [problem, setProblem] = useState<unknown>();
  const run = (event: Event) => {
    event.preventDefault();
    try {
      const items = only.trim() === '' ? undefined : readOnly(only);
      goTo(addressOf({ seed: Number(seed), ...(mutant && { mutant }), ...(items && { only: items }) }));
    } catch (error) {
      setProblem(error);
    }
  };
  return (
    <form class="card filters" onSubmit={run}>
      <label>
        Seed
        <input
          type="number"
          required
          min={0}
          max={MAX_SEED}
          value={seed}
          onInput={({ currentTarget }) => setSeed(currentTarget.value)}
        />
      </label>
      <label class="wide">
        Bug
        <select value={mutant} onChange={({ currentTarget }) => setMutant(currentTarget.value)}>
          {threads.map((thread) => (
            <option key={thread.name} value={thread.mutant ?? ''}>
              {thread.mutant === undefined ? 'none' : thread.name}
            </option>
          ))}
        </select>
      </label>
      <label>
        Only items
        <input placeholder="all" value={only} onInput={({ currentTarget }) => setOnly(currentTarget.value)} />
      </label>
      <button type="submit">Run</button>
      {problem !== undefined && <Trouble error={problem} />}
    </form>
  );
}

function Examples({ threads }: { threads: Threads }) {
  return (
    <section class="card">
      <h2>Bugs, and a world that finds each</h2>
      <ul class="examples">
        {threads.map(({ mutant, name, seed }) => (
          <li key={mutant}>
            <a href={addressOf({ seed, ...(mutant && { mutant }) })}>{name}</a> <span class="muted">seed {seed}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Run({ address, thread }: { address: WorldAddress; thread: Thread }) {
  const [world, setWorld] = useState<World>();
  const [problem, setProblem] = useState<unknown>();
  useEffect(() => {
    const running = new WorldThread(thread);
    running.run(address).then(setWorld, setProblem);
    return () => running.end();
  }, []);
  return (
    <>
      {problem !== undefined && <Trouble error={problem} />}
      {world ? (
        <WorldView world={world} address={address} thread={thread} />
      ) : (
        problem === undefined && (
          <p class="muted" role="status">
            World {address.seed} is running …
          </p>
        )
      )}
    </>
  );
}

function WorldView({ world, address, thread }: { world: World; address: WorldAddress; thread: Thread }) {
  const broken = world.rules.filter((rule) => rule.broken.length > 0);
  return (
    <>
      <header class="story-head">
        <div>
          <h2>World {world.seed}</h2>
          <p role="status">
            <span class="verdict" data-broken={broken.length > 0}>
              {broken.length === 0 ? 'Every rule held' : `Breaks ${broken.map(({ name }) => name).join(', ')}`}
            </span>
          </p>
          <p class="muted">{thread.mutant === undefined ? thread.name : `With a bug: ${thread.name}`}.</p>
        </div>
        <Further address={address} thread={thread} />
      </header>
      <div class="columns">
        <Happened world={world} address={address} thread={thread} />
        <Rules rules={world.rules} />
      </div>
      <Plan plan={world.plan} />
      <Orders world={world} broken={broken} />
    </>
  );
}

/** The way to other worlds. */
function Further({ address: { seed, mutant }, thread }: { address: WorldAddress; thread: Thread }) {
  const [ran, setRan] = useState<number>();
  const [result, setResult] = useState<string>();
  const [problem, setProblem] = useState<unknown>();
  const hunting = useRef<WorldThread | undefined>(undefined);
  const stop = () => {
    hunting.current?.end();
    hunting.current = undefined;
    setRan(undefined);
  };
  useEffect(() => stop, []);

  const hunt = async () => {
    const running = new WorldThread(thread);
    hunting.current = running;
    setResult(undefined);
    setProblem(undefined);
    try {
      for (let ran = 0; ran < MOST_WORLDS; ran++) {
        setRan(ran);
        const { rules } = await running.run({ seed: seed + 1 + ran });
        if (rules.some(({ broken }) => broken.length > 0)) {
          goTo(addressOf({ seed: seed + 1 + ran, ...(mutant && { mutant }) }));
          return;
        }
      }
      setResult(`${MOST_WORLDS} worlds kept every rule.`);
    } catch (error) {
      setProblem(error);
    }
    stop();
  };

  return (
    <div class="further">
      {ran === undefined ? (
        <>
          <a class="button quiet" href={addressOf({ seed: seed + 1, ...(mutant && { mutant }) })}>
            Next world
          </a>
          <button type="button" class="quiet" onClick={() => void hunt()}>
            Run until a rule breaks
          </button>
        </>
      ) : (
        <button type="button" class="quiet" onClick={stop}>
          Stop after {ran} {ran === 1 ? 'world' : 'worlds'}
        </button>
      )}
      {result !== undefined && <p role="status">{result}</p>}
      {problem !== undefined && <Trouble error={problem} />}
    </div>
  );
}

function Happened({ world, address, thread }: { world: World; address: WorldAddress; thread: Thread }) {
  const { endings, plan, steps, virtualMs, trace } = world;
  const struck = plan.filter(({ isTrouble, struckMs }) => isTrouble && struckMs !== undefined);
  return (
    <section class="card" aria-label="What happened">
      <h2>What happened</h2>
      <ul class="lines">
        {Object.entries(endings).map(([ending, count]) => (
          <li key={ending}>
            <span>{words(ending)}</span>
            <span class="number">{count}</span>
          </li>
        ))}
        <li>
          <span>Troubles that struck, of {plan.filter(({ isTrouble }) => isTrouble).length}</span>
          <span class="number">{struck.length}</span>
        </li>
        <li>
          <span>Steps</span>
          <span class="number">{steps}</span>
        </li>
        <li>
          <span>Time that passed in it</span>
          <span class="number">{duration(virtualMs)}</span>
        </li>
        <li>
          <span>Trace</span>
          <code>{trace}</code>
        </li>
      </ul>
      <h3>All of it again</h3>
      <p class="command">
        <code>{commandOf(address, thread)}</code>
      </p>
      <CopyLink />
    </section>
  );
}

function commandOf({ seed, only }: WorldAddress, { mutant, name }: Thread): string {
  if (mutant !== undefined) return `npm run simulate:mutants -- --first ${seed} --seeds 1 --only "${name}"`;
  return `npm run simulate -- --seed ${seed}${only === undefined ? '' : ` --only ${only.join(',')}`}`;
}

function CopyLink() {
  const [said, setSaid] = useState<string>();
  const copy = async () => {
    await navigator.clipboard.writeText(location.href).then(
      () => setSaid('Copied.'),
      () => setSaid('This browser copies nothing for a page: take the address from its bar.'),
    );
  };
  return (
    <p>
      <button type="button" class="quiet" onClick={() => void copy()}>
        Copy the link
      </button>{' '}
      <span role="status">{said}</span>
    </p>
  );
}

function Rules({ rules }: { rules: readonly Rule[] }) {
  const broken = rules.filter((rule) => rule.broken.length > 0);
  return (
    <section class="card" aria-label="Rules">
      <h2>Rules</h2>
      {broken.map((rule) => (
        <div key={rule.name} class="rule" data-broken="true">
          <p>
            <strong>{rule.name}</strong> {rule.meaning}.
          </p>
          <ul class="small">
            {rule.broken.slice(0, 5).map(({ text }) => (
              <li key={text}>{text}</li>
            ))}
            {rule.broken.length > 5 && <li>… and {rule.broken.length - 5} times more</li>}
          </ul>
        </div>
      ))}
      <details open={broken.length === 0}>
        <summary>{rules.length - broken.length} held</summary>
        <ul class="rules">
          {rules.map(
            ({ name, meaning, broken }) =>
              broken.length === 0 && (
                <li key={name} class="rule" data-broken="false" title={`Nowhere: ${meaning}`}>
                  {name}
                </li>
              ),
          )}
        </ul>
      </details>
    </section>
  );
}

function Plan({ plan }: { plan: readonly Planned[] }) {
  const parts = [
    { title: 'What goes wrong', items: plan.filter(({ isTrouble }) => isTrouble) },
    { title: 'What people want', items: plan.filter(({ isTrouble }) => !isTrouble) },
  ];
  return (
    <section class="card plan" aria-label="Plan">
      {parts.map(({ title, items }, i) => (
        <details key={title} open={i === 0}>
          <summary>
            {title}: {items.length}
          </summary>
          {items.length === 0 && <p class="muted">Nothing.</p>}
          <ol>
            {items.map(({ n, atMs, what, struckMs }) => (
              <li key={n} data-struck={struckMs !== undefined}>
                <span class="muted number">{n}</span>
                <span>
                  {what} <span class="muted small">{whenOf(atMs, struckMs)}</span>
                </span>
              </li>
            ))}
          </ol>
        </details>
      ))}
    </section>
  );
}

const whenOf = (atMs: number, struckMs: number | undefined): string =>
  struckMs === undefined ? `from ${duration(atMs)} on, never struck` : `after ${duration(Math.round(struckMs))}`;

function Orders({ world: { stories }, broken }: { world: World; broken: readonly Rule[] }) {
  const concerned = new Set(broken.flatMap((rule) => rule.broken.flatMap(({ orders }) => orders)));
  const first = stories.find(({ orderId }) => concerned.has(orderId)) ?? stories[0];
  const [chosen, choose] = useState(first?.orderId);
  const story = stories.find(({ orderId }) => orderId === chosen);
  if (!story) return <Empty>Nobody has ordered anything in this world.</Empty>;
  return (
    <>
      <label class="order-choice">
        The story of
        <select value={chosen} onChange={({ currentTarget }) => choose(currentTarget.value)}>
          {stories.map(({ orderId }) => (
            <option key={orderId} value={orderId}>
              order {numberOf(orderId)}
              {concerned.has(orderId) ? ', about which a rule is broken' : ''}
            </option>
          ))}
        </select>
      </label>
      <StoryView key={chosen} story={story} />
    </>
  );
}

/** Orders of a world are called by the number of the item that places them. */
const numberOf = (orderId: string): number => Number.parseInt(orderId.slice(-12), 16);
