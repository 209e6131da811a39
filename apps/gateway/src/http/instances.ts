/** The instances of the services, and which of them are ready: those that are not get no requests. */
import type { Clock, Log } from '#runtime';
import { type Service, services } from '../../../shop.js';

/** Between two looks at the readiness of an instance. */
const LOOK_EVERY_MS = 1_000;
const ANSWER_WITHIN_MS = 1_000;

interface Instance {
  readonly url: string;
  isReady: boolean;
}

export class Instances {
  private readonly byService: Readonly<Record<Service, readonly Instance[]>>;
  private turn = 0;

  constructor(
    urls: Readonly<Record<Service, readonly string[]>>,
    private readonly runtime: { readonly clock: Clock; readonly log: Log },
  ) {
    const all = services.map((service) => [service, urls[service].map((url) => ({ url, isReady: true }))]);
    this.byService = Object.fromEntries(all) as typeof this.byService;
  }

  /** The URL of a ready instance, each in its turn; undefined when none is. */
  next(service: Service): string | undefined {
    const ready = this.byService[service].filter(({ isReady }) => isReady);
    return ready[this.turn++ % ready.length]?.url;
  }

  /** Looks at the readiness of all, until `signal` aborts. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const all = services.flatMap((service) => this.byService[service]);
      await Promise.all(all.map(async (instance) => (instance.isReady = await isReady(instance.url))));
      await this.runtime.clock.sleep(LOOK_EVERY_MS, signal);
    }
  }
}

async function isReady(url: string): Promise<boolean> {
  const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
  return fetch(`${url}/health/ready`, { signal }).then(
    ({ ok }) => ok,
    () => false,
  );
}
