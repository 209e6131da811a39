/** Keeps pages current, by asking again from time to time. */
import { type ReadonlySignal, signal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';

/** Of a page that is looked at. */
const POLL_MS = 2_000;

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

/** Loads what a page shows, anew for every `key`, and again and again while `isLive` says so. */
export function useLoaded<T>(
  key: string,
  read: () => Promise<T>,
  { isLive = () => false }: { isLive?: (value: T) => boolean } = {},
): Loaded<T> {
  // Of the functions, those of the first render with this key count: they depend on nothing else.
  const loaded = useMemo(() => new Loaded(read), [key]);
  const value = loaded.value.value;
  const isCurrent = value === undefined || !isLive(value);
  useEffect(() => void loaded.load(), [loaded]);
  useEffect(() => {
    if (isCurrent) return undefined;
    const timer = setInterval(() => {
      if (!document.hidden) void loaded.load();
    }, POLL_MS);
    return () => clearInterval(timer);
  }, [loaded, isCurrent]);
  return loaded;
}
