/**
 * Leases as a server gives them out, to holders that can lose one without knowing it: the next in line begins at once,
 * and the previous holder learns of it later. For a moment two are at work.
 */
import { setMaxListeners } from 'node:events';
import { Leases } from '#runtime';

interface Claim {
  /** The process that claims it. */
  readonly owner: object;
  readonly lost: AbortController;
  /** Begins its work. */
  readonly grant: () => void;
}

/** The leases of one service, on its server. */
export class LeaseServer {
  /** Of each name, the holder and then those who wait. */
  private readonly lines = new Map<string, Claim[]>();
  private reachable = true;

  /** What an instance of the service holds its leases with. `alive` says whether its process still runs. */
  client(owner: object, alive: () => boolean): Leases {
    return new LeaseClient(this, owner, alive);
  }

  enter(name: string, claim: Claim): void {
    const line = this.lines.get(name);
    if (line) line.push(claim);
    else this.lines.set(name, [claim]);
    if (!line || line.length === 1) this.grantFirst(name);
  }

  leave(name: string, claim: Claim): void {
    const line = this.lines.get(name) ?? [];
    const place = line.indexOf(claim);
    if (place < 0) return;
    line.splice(place, 1);
    if (place === 0) this.grantFirst(name);
  }

  /** Takes a lease from its holder, who learns of it when the returned function is called. Undefined when nobody holds it. */
  take(name: string): (() => void) | undefined {
    const holder = this.reachable ? this.lines.get(name)?.[0] : undefined;
    if (!holder) return undefined;
    this.leave(name, holder);
    return () => holder.lost.abort('lost');
  }

  /** Frees all that a process holds or waits for, as when its connection ends. */
  free(owner: object): void {
    for (const [name, line] of this.lines) {
      for (const claim of line.filter((claim) => claim.owner === owner)) this.leave(name, claim);
    }
  }

  /** While it cannot be reached nobody is granted anything, and those who hold something lose it. */
  setReachable(reachable: boolean): void {
    this.reachable = reachable;
    for (const [name, line] of this.lines) {
      if (reachable) this.grantFirst(name);
      else line.shift()?.lost.abort('lost');
    }
  }

  private grantFirst(name: string): void {
    if (this.reachable) this.lines.get(name)?.[0]?.grant();
  }
}

class LeaseClient extends Leases {
  constructor(
    private readonly server: LeaseServer,
    private readonly owner: object,
    private readonly alive: () => boolean,
  ) {
    super();
  }

  override async hold(name: string, signal: AbortSignal, work: (lease: AbortSignal) => Promise<void>): Promise<void> {
    if (signal.aborted) return;
    const lost = new AbortController();
    setMaxListeners(0, lost.signal); // All that the holder has under way listens to it.
    const giveUp = () => lost.abort('given up');
    signal.addEventListener('abort', giveUp);
    let claim: Claim | undefined;
    try {
      await new Promise<void>((resolve) => {
        claim = { owner: this.owner, lost, grant: resolve };
        lost.signal.addEventListener('abort', () => resolve());
        this.server.enter(name, claim);
      });
      if (!lost.signal.aborted) await work(lost.signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      signal.removeEventListener('abort', giveUp);
      // What a killed process holds is freed when the server finds out, not because its code runs to an end.
      if (claim && this.alive()) this.server.leave(name, claim);
    }
  }
}
