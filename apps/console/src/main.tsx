/** The console: the frame around every page, and which page it is. */
import { computed, signal } from '@preact/signals';
import { type ComponentType, render } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { secondOf } from './format.js';
import { loadSession, loginUrl, logOut, may, session, silentSince } from './gateway.js';
import { DeadLetters } from './pages/dead-letters.js';
import { Flow } from './pages/flow.js';
import { Inbox } from './pages/inbox.js';
import { Orders } from './pages/orders.js';
import { ReadModels } from './pages/read-models.js';
import { Shop } from './pages/shop.js';
import { OpenedStory, OrderStory } from './pages/story.js';
import { Troubles } from './pages/trouble.js';
import { Worlds } from './pages/worlds.js';
import { LogIn, Trouble } from './parts.js';
import { path, watchAddress } from './router.js';
import { listenToShop } from './stream.js';
import { WORLDS } from './worlds/address.js';
import './style.css';

interface Page {
  readonly title: string;
  readonly path: string;
  /** The operation without which the page is not shown. */
  readonly needs?: string;
  readonly View: ComponentType;
}

/** The gateway knows their paths, too: see consolePages in its definition.ts. */
const pages: readonly Page[] = [
  { title: 'Shop', path: '/', needs: 'GET /prices', View: Shop },
  { title: 'Orders', path: '/console/orders', needs: 'GET /orders', View: Orders },
  { title: 'Inbox', path: '/console/inbox', needs: 'GET /order/admin/attention', View: Inbox },
  { title: 'Dead letters', path: '/console/dead-letters', needs: 'GET /order/admin/dead-letters', View: DeadLetters },
  { title: 'Read models', path: '/console/read-models', needs: 'GET /order/admin/projections', View: ReadModels },
  { title: 'Flow', path: '/console/flow', needs: 'GET /flow', View: Flow },
  { title: 'Trouble', path: '/console/trouble', needs: 'GET /order/admin/troubles', View: Troubles },
  { title: 'Worlds', path: WORLDS, View: Worlds },
  { title: 'Open a story', path: '/console/story', View: OpenedStory },
];

const ORDER = '/console/orders/';

const page = computed((): Page | undefined =>
  path.value.startsWith(ORDER)
    ? { title: "An order's story", path: path.value, needs: 'GET /orders/:orderId/story', View: OrderStory }
    : pages.find((each) => each.path === (path.value.startsWith(`${WORLDS}/`) ? WORLDS : path.value)),
);

const isShown = ({ needs }: Page) => needs === undefined || may(needs);

const AGAIN_MS = 2_000;

const failure = signal<unknown>(undefined);
/** Why somebody is not logged out. */
const logOutFailure = signal<unknown>(undefined);

/** What every page needs is asked for until it is there. */
async function start(): Promise<void> {
  try {
    await loadSession();
    failure.value = undefined;
  } catch (error) {
    failure.value = error;
    setTimeout(() => void start(), AGAIN_MS);
  }
}

function Frame() {
  const main = useRef<HTMLElement>(null);
  const title = page.value?.title ?? 'Nothing here';
  const isFirst = useRef(true);
  useEffect(() => {
    document.title = `${title} · Larder`;
    // Whoever reads by ear or goes by keyboard begins at the new page.
    if (!isFirst.current) main.current?.focus({ preventScroll: true });
    isFirst.current = false;
    logOutFailure.value = undefined;
  }, [path.value]);
  return (
    <>
      <a class="skip" href="#main">
        Skip to the page
      </a>
      <header class="frame">
        <a class="brand" href="/">
          Larder
        </a>
        <nav aria-label="Pages">
          {pages.filter(isShown).map(({ title, path: to }) => (
            <a
              key={to}
              href={to}
              aria-current={path.value === to ? 'page' : path.value.startsWith(`${to}/`) ? 'true' : undefined}
            >
              {title}
            </a>
          ))}
        </nav>
        <Person />
      </header>
      <main id="main" tabIndex={-1} ref={main}>
        <Silence />
        {logOutFailure.value !== undefined && <Trouble error={logOutFailure.value} />}
        {failure.value === undefined ? <Current /> : <Trouble error={failure.value} />}
      </main>
    </>
  );
}

/** Says that the gateway is away, above what was shown before. */
function Silence() {
  const since = silentSince.value;
  if (since === undefined || !session.value) return null;
  return (
    <p class="note silence" role="status">
      The gateway does not answer. It was heard last at {secondOf(since)}: what has changed since is not shown here. It
      is asked again every two seconds.
    </p>
  );
}

function Person() {
  const { caller } = session.value ?? {};
  if (!session.value) return null;
  if (!caller)
    return (
      <a class="person" href={loginUrl()}>
        Log in
      </a>
    );
  return (
    <p class="person">
      <span>
        {caller.name} <span class="muted">{caller.roles.join(', ')}</span>
      </span>
      <button
        type="button"
        class="quiet"
        onClick={() => {
          logOutFailure.value = undefined;
          void logOut().catch((error: unknown) => (logOutFailure.value = error));
        }}
      >
        Log out
      </button>
    </p>
  );
}

function Current() {
  const current = page.value;
  if (!current)
    return (
      <section class="card narrow">
        <h1>Nothing is at this address</h1>
        <p>
          <a href="/">To the shop</a>
        </p>
      </section>
    );
  const { View } = current;
  if (!session.value) return <p class="muted">Loading …</p>;
  // For somebody else it begins anew.
  if (isShown(current)) return <View key={`${current.path} ${session.value.caller?.subject}`} />;
  if (!session.value.caller) return <LogIn />;
  const first = pages.find(isShown);
  return (
    <section class="card narrow">
      <h1>{current.title}</h1>
      <p>
        This page is not for {session.value.caller.roles.join(', ')}.{' '}
        {first && <a href={first.path}>To {first.title.toLowerCase()}</a>}
      </p>
    </section>
  );
}

watchAddress();
listenToShop();
void start();
render(<Frame />, document.body);
