/** Keeps pages current: they read anew when they are told that something has changed, and otherwise from time to time. */
import { type ReadonlySignal, signal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';

import { isTold, type KnownChange, onChange } from './stream.js';

/** Of a page that is looked at, and is told nothing. */
const POLL_MS = 2_000;
/** Between two readings of a page, however much happens: the first change is shown at once. */
const PAUSE_MS = 150;

/** What a page shows of the shop: the last answer, and why there is no newer one. */
export class Loaded<T> {
  private readonly found = signal<T | undefined>(undefined);
  private readonly failure = signal<unknown>(undefined);
  /** When what is found was asked for, by the clock of this browser. */
  readMs = 0;
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
        const nowMs = Date.now();
        const found = await this.read();
        this.readMs = nowMs;
        this.found.value = found;
        this.failure.value = undefined;
      }
    } catch (error) {
      this.failure.value = error;
    } finally {
      this.isLoading = false;
    }
  };
}

/** Calls `call` at once, and for all calls of a while after that once more. */
export function calmly(call: () => void): { call: () => void; stop: () => void } {
  let pause: ReturnType<typeof setTimeout> | undefined;
  let isAskedAgain = false;
  const callNow = () => {
    isAskedAgain = false;
    pause = setTimeout(() => {
      pause = undefined;
      if (isAskedAgain) callNow();
    }, PAUSE_MS);
    call();
  };
  return {
    call: () => (pause === undefined ? callNow() : (isAskedAgain = true)),
    stop: () => clearTimeout(pause),
  };
}

interface Options<T> {
  readonly isLive?: (value: T) => boolean;
  /** Whether something is missing that the shop may have in a moment. */
  readonly isPartial?: (value: T) => boolean;
  readonly concerns?: (change: KnownChange) => boolean;
}

/**
 * Loads what a page shows, anew for every `key`, and while `isLive` says so whenever something changes that it shows:
 * `concerns` says what that is. A fact that a read model does not show yet is followed by the news that it does. Without
 * `concerns` nothing tells of it, and it is read from time to time. So is what failed, or is not whole, until it is.
 */
export function useLoaded<T>(
  key: string,
  read: () => Promise<T>,
  { isLive = () => false, isPartial = () => false, concerns }: Options<T> = {},
): Loaded<T> {
  // Of the functions, those of the first render with this key count: they depend on nothing else.
  const loaded = useMemo(() => new Loaded(read), [key]);
  const value = loaded.value.value;
  const lacks = loaded.problem.value !== undefined || (value !== undefined && isPartial(value));
  const isFinal = value !== undefined && !isLive(value) && !lacks;
  useEffect(() => void loaded.load(), [loaded]);
  // That a service can be followed again does not say yet that it answers.
  const isAsking = lacks || (value !== undefined && !isFinal && !(concerns && isTold.value));
  useEffect(() => {
    if (isFinal) return undefined;
    const reading = calmly(() => void loaded.load());
    const stop = onChange((change) => {
      if ('everything' in change || concerns?.(change)) reading.call();
    });
    return () => {
      stop();
      reading.stop();
    };
  }, [loaded, isFinal]);
  useEffect(() => {
    if (!isAsking) return undefined;
    const timer = setInterval(() => {
      if (!document.hidden) void loaded.load();
    }, POLL_MS);
    return () => clearInterval(timer);
  }, [loaded, isAsking]);
  return loaded;
}
