/**
 * Listens to what happens (`GET /stream` of the gateway) while somebody looks at the page, for what has to be shown anew.
 * Hidden, a page listens to nothing: a browser has few connections for all of its tabs.
 */
import { computed, effect, signal } from '@preact/signals';
import type { StreamEvents } from '../../gateway/src/api.js';
import { hear, loadSession, may, shop, silentSince } from './gateway.js';

/** There is a new fact, or a read model has reached a position. */
export type KnownChange = { readonly fact: StreamEvents['fact'] } | { readonly shown: StreamEvents['shown'] };

/** What has changed: anything at all, where not all is known. */
export type Change = KnownChange | { readonly everything: true };

/** After a refusal, which a browser does not try again by itself. */
const AGAIN_MS = 5_000;
/** The gateway says something every five seconds. */
const SILENT_MS = 8_000;

const listeners = new Set<(change: Change) => void>();
const isVisible = signal(false);
const mayListen = computed(() => may('GET /stream'));

/** Whether the changes of all services are told at present: otherwise one has to ask. */
export const isTold = signal(false);

/** Calls `onChange` for all that changes, until what it returns is called. */
export function onChange(listener: (change: Change) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const tell = (change: Change) => listeners.forEach((listener) => listener(change));

/** Whoever comes to the page, or back to it, goes on with what was told last. */
export function listenToShop(): void {
  const look = () => (isVisible.value = !document.hidden);
  document.addEventListener('visibilitychange', look);
  look();
  let lastId = '';
  effect(() => {
    if (!mayListen.value || !isVisible.value) return undefined;
    let source: EventSource | undefined;
    let again: ReturnType<typeof setTimeout> | undefined;
    let silence: ReturnType<typeof setTimeout> | undefined;
    const watch = () => {
      clearTimeout(silence);
      silence = setTimeout(() => {
        source!.close();
        lose();
        open();
      }, SILENT_MS);
    };
    const lose = () => {
      isTold.value = false;
      // Whether the gateway is away this tells, unless it is known and asked already.
      if (silentSince.value === undefined) void loadSession().catch(() => {});
    };
    const open = () => {
      watch();
      source = new EventSource(lastId === '' ? '/stream' : `/stream?after=${encodeURIComponent(lastId)}`);
      const on = <Name extends keyof StreamEvents>(name: Name, call: (data: StreamEvents[Name]) => void) => {
        source!.addEventListener(name, ({ data, lastEventId }: MessageEvent<string>) => {
          watch();
          hear();
          lastId = lastEventId;
          call(JSON.parse(data) as StreamEvents[Name]);
        });
      };
      on('begin', () => {});
      on('fact', (fact) => {
        shop.see(lastId); // What is read now shows it.
        tell({ fact });
      });
      on('shown', (shown) => tell({ shown }));
      // It is told first of all: what was missed before is read then.
      on('away', ({ services }) => {
        isTold.value = services.length === 0;
        tell({ everything: true });
      });
      on('resync', () => tell({ everything: true }));
      on('beat', () => {});
      source.addEventListener('error', () => {
        lose();
        if (source!.readyState !== EventSource.CLOSED) return;
        clearTimeout(silence);
        lastId = '';
        again = setTimeout(open, AGAIN_MS);
      });
    };
    open();
    return () => {
      clearTimeout(again);
      clearTimeout(silence);
      source?.close();
      isTold.value = false;
    };
  });
}
