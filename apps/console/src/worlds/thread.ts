/** Runs simulated worlds in a thread of the browser, one after the other. */
import type { Thread, World, WorldWanted } from './messages.js';

export class WorldThread {
  private readonly worker: Worker;

  constructor({ file }: Thread) {
    this.worker = new Worker(`/console/${file}`, { type: 'module' });
  }

  /** Resolves with what became of the world; never, when the thread is ended before. */
  run(wanted: WorldWanted): Promise<World> {
    const answered = new AbortController();
    const { signal } = answered;
    return new Promise<World>((resolve, reject) => {
      const refuse = ({ message }: ErrorEvent) => reject(new Error(`The world could not be run. ${message ?? ''}`));
      this.worker.addEventListener('message', ({ data }: MessageEvent<World>) => resolve(data), { signal });
      this.worker.addEventListener('error', refuse, { signal });
      this.worker.postMessage(wanted, []);
    }).finally(() => answered.abort());
  }

  end(): void {
    this.worker.terminate();
  }
}
