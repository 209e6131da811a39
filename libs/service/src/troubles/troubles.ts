/**
 * Troubles: what an operator switches on in a running service, to see it heal. Each really happens: the process is killed, an
 * answer is not given, a message is sent twice. Only with TROUBLE=true is any of this between a service and its ports.
 *
 *   (off) ──switch on──▶ (on) ──▶ switched off, struck where it strikes once, or its seconds are over ──▶ (off)
 *
 * The state is this process's alone: it ends with it, so nobody forgets a trouble.
 */
import { abortQuietly, type Clock, type Log } from '#runtime';
import type { AccessTable } from '../access.js';

export interface Trouble {
  /** What it does, in a sentence. */
  readonly does: string;
  /** What there is to see meanwhile and afterwards. */
  readonly see: string;
  /** After how many seconds it ends by itself: a minute at most. */
  readonly seconds: number;
  /** It strikes once, and is over with that. */
  readonly once?: boolean;
}

/** By name. */
export type TroubleTable = Readonly<Record<string, Trouble>>;

/** Where operators switch them: routes that a service has with TROUBLE=true alone. */
export const troubleAccess: AccessTable = {
  'GET /admin/troubles': { operator: 'any' },
  'PUT /admin/troubles/:name': { operator: 'any' },
};

export interface TroubleState extends Trouble {
  readonly name: string;
  /** When it will end by itself; absent while it is off. */
  readonly until?: Date;
  /** Who switched it on last. */
  readonly actor?: string;
  /** How often it has struck since then. */
  readonly struck: number;
}

/** A trouble that was switched on, and may be over. */
interface Spell {
  readonly actor: string;
  readonly until: Date;
  readonly over: AbortController;
  struck: number;
}

/** `Name` are those that whoever has it knows of. */
export class Troubles<Name extends string = string> {
  private readonly spells = new Map<string, Spell>();
  private readonly beginnings = new Map<string, Set<() => void>>();

  constructor(
    private readonly table: TroubleTable,
    private readonly runtime: { readonly clock: Clock; readonly log: Log },
  ) {}

  get names(): readonly string[] {
    return Object.keys(this.table);
  }

  has(name: string): boolean {
    return Object.hasOwn(this.table, name);
  }

  /** Each with what is known of it now. */
  states(): TroubleState[] {
    return Object.entries(this.table).map(([name, trouble]) => {
      const spell = this.spells.get(name);
      if (!spell) return { name, ...trouble, struck: 0 };
      const { actor, struck, until, over } = spell;
      return { name, ...trouble, actor, struck, ...(!over.signal.aborted && { until }) };
    });
  }

  /** Switches it on for its seconds, which begin anew where it is on already. */
  switchOn(name: string, actor: string): void {
    const { clock, log } = this.runtime;
    this.end(name);
    const ms = this.table[name]!.seconds * 1_000;
    const over = new AbortController();
    const until = new Date(clock.now().getTime() + ms);
    this.spells.set(name, { actor, until, over, struck: 0 });
    void clock.sleep(ms, over.signal).then(() => {
      if (!over.signal.aborted) log.warn({ trouble: name }, 'A trouble is over: its time has come.');
      abortQuietly(over);
    });
    for (const begin of this.beginnings.get(name) ?? []) begin();
  }

  switchOff(name: string): void {
    this.end(name);
  }

  /** Aborts when it is over; undefined while it is off. */
  lasting(name: Name): AbortSignal | undefined {
    const signal = this.spells.get(name)?.over.signal;
    return signal?.aborted ? undefined : signal;
  }

  /** Whether it strikes now. What strikes once is over with that. */
  strikes(name: Name): boolean {
    if (!this.lasting(name)) return false;
    this.spells.get(name)!.struck++;
    if (this.table[name]!.once) this.end(name);
    return true;
  }

  /** Calls `begin` whenever it is switched on, until the function that it returns is called. */
  onBegin(name: Name, begin: () => void): () => void {
    const all = this.beginnings.get(name) ?? new Set();
    this.beginnings.set(name, all.add(begin));
    return () => all.delete(begin);
  }

  private end(name: string): void {
    const over = this.spells.get(name)?.over;
    if (over) abortQuietly(over);
  }
}
