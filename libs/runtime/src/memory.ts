/** The ports in memory: for tests, and for services that a simulation runs together in one process. */
import { Checkpoints, Leases, type Log } from './ports.js';

export class MemoryCheckpoints extends Checkpoints {
  private readonly positions = new Map<string, bigint>();

  override async load(name: string): Promise<bigint> {
    return this.positions.get(name) ?? 0n;
  }

  override async save(name: string, position: bigint): Promise<void> {
    if (position > (this.positions.get(name) ?? 0n)) this.positions.set(name, position);
  }
}

/** Leases among instances in one process that share this object. The one that has waited longest is next. */
export class MemoryLeases extends Leases {
  private readonly queues = new Map<string, (() => void)[]>();

  override async hold(name: string, signal: AbortSignal, work: (lease: AbortSignal) => Promise<void>): Promise<void> {
    if (signal.aborted) return;
    const queue = this.queues.get(name);
    if (queue === undefined) this.queues.set(name, []);
    else if (!(await this.waitForTurn(queue, signal))) return;
    try {
      await work(signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      const next = this.queues.get(name)?.shift();
      if (next) next();
      else this.queues.delete(name);
    }
  }

  /** Waits in the queue; false when `signal` aborted before the turn came. */
  private waitForTurn(queue: (() => void)[], signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const grant = () => {
        signal.removeEventListener('abort', giveUp);
        resolve(true);
      };
      const giveUp = () => {
        queue.splice(queue.indexOf(grant), 1);
        resolve(false);
      };
      queue.push(grant);
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * A copy as a server would return it: what survives JSON, and independent of what its writer does with the original. It
 * is frozen, because all readers of a memory adapter share it.
 */
export function frozenCopy<T>(value: T): T {
  return deepFreeze(JSON.parse(JSON.stringify(value)) as T);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}
