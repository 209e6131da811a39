/** How the shop flows: what moves and what is behind, over the last ten minutes, and who does what. */
import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import type { Flow as Told } from '../../../gateway/src/api.js';
import { CIRCUIT_STATES, figuresOf, type PlotName, type Reading, withReading } from '../flow/history.js';
import { Plot } from '../flow/plot.js';
import { duration } from '../format.js';
import { ask } from '../gateway.js';
import { useLoaded } from '../live.js';
import { Show } from '../parts.js';

/** Kept while somebody looks at other pages. */
const readings = signal<readonly Reading[]>([]);

async function read(): Promise<Told> {
  const flow = await ask<Told>('/flow');
  readings.value = withReading(readings.value, figuresOf(flow), Date.now());
  return flow;
}

const number = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 1 });
const count = (value: number) => number.format(value);
const milliseconds = (value: number) => duration(value);
const seconds = (value: number) => duration(Math.round(value * 1_000));
const circuit = (value: number) => CIRCUIT_STATES[Math.round(value)] ?? '';

export function Flow() {
  const loaded = useLoaded('flow', read, { isLive: () => true });
  return (
    <>
      <h1>Flow</h1>
      <p class="lead">
        What moves, and what is behind: as of now, and over the last ten minutes as far as this page was open. Where a
        line is broken nothing was known.
      </p>
      <Show of={loaded}>
        {(flow) => (
          <>
            {flow.missing.length > 0 && (
              <p class="note" role="status">
                Without {flow.missing.join(' and ')}: no instance answers.
              </p>
            )}
            <Unknown of={flow} />
            <div class="plots">
              <Figure
                title="Orders per second"
                plot="orders"
                say={count}
                empty="Nothing has been counted yet: the order service begins when it starts."
              >
                Over the last ten seconds. An order is settled when nothing more will happen to its stock and money. As
                many are settled as are placed, or else they wait: see what is behind.
              </Figure>
              <Figure
                title="Time to settle"
                plot="times"
                say={milliseconds}
                empty="No order was settled in the last minute."
              >
                Of the orders that were settled in the last minute. {othersOf(flow)} A few that wait for a person, or
                for the provider, are long: the <a href="/console/inbox">inbox</a> has them.
              </Figure>
              <Figure title="Lag of the relays" plot="relays" say={seconds} empty="No relay tells how far it is.">
                How long the oldest event has waited to become a message. More than a second: the bus is away or slow.
                The other services do not know yet what has happened.
              </Figure>
              <Figure
                title="Messages that wait"
                plot="consumers"
                say={count}
                empty="The bus does not tell what is unread."
              >
                What a service has not read yet. When it grows, the service is slower than what comes, or away. One that
                could not be handled is not here: it is among the <a href="/console/dead-letters">dead letters</a>, or
                is tried again.
              </Figure>
              <Figure
                title="Lag of the read models"
                plot="readModels"
                say={seconds}
                empty="No read model tells how far it is."
              >
                How long the oldest event has waited to be shown, in the read model that is the furthest behind. Reads
                are that much too old. Which one it is, and whether it moves,{' '}
                <a href="/console/read-models">Read models</a> says.
              </Figure>
              <Figure
                title="Circuits"
                plot="circuits"
                say={circuit}
                steps={CIRCUIT_STATES.map((_, i) => i)}
                empty="No instance tells of a circuit."
              >
                Each instance has its own. While that to the provider is open, payments wait and nothing is lost; half
                open, one call finds out whether it is back.
              </Figure>
            </div>
            <Instances of={flow} />
            <Leases of={flow} />
          </>
        )}
      </Show>
    </>
  );
}

const FIGURES = { relay: 'relay', consumer: 'messages', readModels: 'read models', leases: 'leases' } as const;

/** Names what services that answer could not read: neither a plot nor a table has it now. */
function Unknown({ of: { services } }: { of: Told }) {
  const unknown = services.flatMap((each) => {
    const names = Object.entries(FIGURES).flatMap(([figure, name]) => (figure in each ? [] : [name]));
    return names.length === 0 ? [] : [`${names.join(', ')} of ${each.service}`];
  });
  if (unknown.length === 0) return null;
  return (
    <p class="note" role="status">
      Not known now: {unknown.join('; ')}. The server that has them does not answer.
    </p>
  );
}

function Figure({
  children,
  ...plot
}: {
  title: string;
  plot: PlotName;
  say: (value: number) => string;
  steps?: readonly number[];
  empty: string;
  children: ComponentChildren;
}) {
  return (
    <section class="card" aria-labelledby={`plot-${plot.plot}`}>
      <h2 id={`plot-${plot.plot}`}>{plot.title}</h2>
      <Plot {...plot} readings={readings.value} />
      <p class="muted small">{children}</p>
    </section>
  );
}

/** Says of how many the time is not known, if there are any. */
function othersOf({ services }: Told): string {
  const others = services.find((each) => each.orders)?.orders?.toSettle.others ?? 0;
  if (others === 0) return '';
  return `${others === 1 ? 'One more was' : `${count(others)} more were`} placed before the counting began.`;
}

function Instances({ of: { instances, gateway } }: { of: Told }) {
  return (
    <>
      <h2 class="section">Instances</h2>
      <table class="orders">
        <thead>
          <tr>
            <th scope="col">Service</th>
            <th scope="col">Instance</th>
            <th scope="col">State</th>
            <th scope="col">Calls of it</th>
          </tr>
        </thead>
        <tbody>
          {instances.map(({ service, url, state, name }) => (
            <tr key={`${service} ${url}`}>
              <th scope="row">{service}</th>
              <td class="text">
                <code>{name ?? url}</code>
              </td>
              <td class={state === 'ready' && name !== undefined ? undefined : 'warn'}>
                {STATES[state]}
                {name === undefined && state !== 'out' && ', tells nothing'}
              </td>
              <td class={gateway.circuits[service] === 'closed' ? undefined : 'warn'}>
                {gateway.circuits[service] === 'closed' ? 'are made' : 'are held back'}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="muted small">
        As the gateway <code>{gateway.name}</code> sees them, whose stream has{' '}
        {gateway.readers === 1 ? 'one reader' : `${count(gateway.readers)} readers`}. After ten calls to a service that
        fail in a row it holds back all but one a second.
      </p>
    </>
  );
}

const STATES = { ready: 'ready', there: 'not ready', out: 'away' } as const;

function Leases({ of: { services } }: { of: Told }) {
  const leases = services.flatMap(({ service, leases = [] }) => leases.map((lease) => ({ service, ...lease })));
  return (
    <>
      <h2 class="section">Leases</h2>
      <p class="muted small">
        Which instance does what one at a time does. A lease ends with the connection of its holder, and another
        instance takes it within a second.
      </p>
      {leases.length === 0 ? (
        <p class="muted">No service tells who holds them.</p>
      ) : (
        <table class="orders">
          <thead>
            <tr>
              <th scope="col">Service</th>
              <th scope="col">Lease</th>
              <th scope="col">Held by</th>
            </tr>
          </thead>
          <tbody>
            {leases.map(({ service, name, holder }) => (
              <tr key={`${service} ${name}`}>
                <td>{service}</td>
                <th scope="row">{name === service ? 'relay' : name}</th>
                <td class={holder === undefined ? 'warn' : 'text'}>
                  {holder === undefined ? 'nobody at this moment' : <code>{holder}</code>}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}
