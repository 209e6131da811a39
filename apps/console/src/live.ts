/** Keeps pages current: what `/stream` tells, and where there is none, by asking again from time to time. */
import { type ReadonlySignal, signal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import type { Fact, StreamEvents } from '../../gateway/src/api.js';
import { may } from './gateway.js';

/** Of a page that is looked at. */
const POLL_MS = 2_000;
/** After the gateway has said that there is no stream. */
const REOPEN_MS = 30_000;

type Listener = (fact: Fact | undefined) => void;

const listeners = new Set<Listener>();
let source: EventSource | undefined;
let refusedMs = -REOPEN_MS;

/** Whether the gateway tells what happens. */
export const isStreaming = signal(false);

/** One stream serves all that listen; it is closed with the last of them. */
function listen(listener: Listener): () => void {
  listeners.add(listener);
  open();
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    source?.close();
    source = undefined;
    isStreaming.value = false;
  };
}

function open(): void {
  if (source !== undefined || !may('GET /stream') || performance.now() - refusedMs < REOPEN_MS) return;
  const opened = new EventSource('/stream');
  source = opened;
  const tell = (fact?: Fact) => listeners.forEach((listener) => listener(fact));
  opened.addEventListener('open', () => (isStreaming.value = true));
  // The browser opens it again by itself, and goes on where it was, unless the gateway has refused it.
  opened.addEventListener('error', () => {
    isStreaming.value = false;
    if (opened.readyState !== EventSource.CLOSED || source !== opened) return;
    source = undefined;
    refusedMs = performance.now();
  });
  opened.addEventListener('fact', ({ data }) => tell(JSON.parse(data as string) as StreamEvents['fact']));
  opened.addEventListener('shown', () => tell());
  opened.addEventListener('resync', () => tell());
}

/** What a page shows of the shop: the last answer, and why there is no newer one. */
export class Loaded<T> {
  private readonly found = signal<T | undefined>(undefined);
  private readonly failure = signal<unknown>(undefined);
  private isLoading = false;
  private isStale = false;

  constructor(private readonly read: () => Promise<T>) {}

  get value(): ReadonlySignal<T | undefined> {
    return this.found;
  }

  get problem(): ReadonlySignal<unknown> {
    return this.failure;
  }

  /** Reads once more. However often this is called meanwhile, one more read follows. */
  readonly load = async (): Promise<void> => {
    this.isStale = true;
    if (this.isLoading) return;
    this.isLoading = true;
    try {
      while (this.isStale) {
        this.isStale = false;
        this.found.value = await this.read();
        this.failure.value = undefined;
      }
    } catch (error) {
      this.failure.value = error;
    } finally {
      this.isLoading = false;
    }
  };
}

/**
 * Loads what a page shows, anew for every `key`. While `isLive` says so, it is loaded again when something has happened that
 * `concerns` it.
 */
export function useLoaded<T>(
  key: string,
  read: () => Promise<T>,
  {
    isLive = () => false,
    concerns = () => true,
  }: { isLive?: (value: T) => boolean; concerns?: (fact: Fact) => boolean } = {},
): Loaded<T> {
  // Of the functions, those of the first render with this key count: they depend on nothing else.
  const loaded = useMemo(() => new Loaded(read), [key]);
  const value = loaded.value.value;
  const isCurrent = value === undefined || !isLive(value);
  useEffect(() => void loaded.load(), [loaded]);
  useEffect(() => {
    if (isCurrent) return undefined;
    const leave = listen((fact) => {
      if (fact === undefined || concerns(fact)) void loaded.load();
    });
    const timer = setInterval(() => {
      open();
      if (!isStreaming.value && !document.hidden) void loaded.load();
    }, POLL_MS);
    return () => {
      leave();
      clearInterval(timer);
    };
  }, [loaded, isCurrent]);
  return loaded;
}
