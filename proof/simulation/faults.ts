/** What goes wrong now: the items of the plan that have been armed, and what they strike. */
import type { Service } from '../../apps/shop.js';
import type { Step } from '../interruptible.js';
import type { Item, ProviderCall, Server } from './plan.js';
import { isAt, type Moment } from './fault-points.js';

type Kind<K extends Item['kind']> = Extract<Item, { kind: K }>;
type Armed = Kind<'crash' | 'error' | 'stall' | 'delivered-twice' | 'provider' | 'stray'>;
type Lasting = Kind<'outage' | 'broken-table' | 'held-up' | 'poison' | 'provider-down' | 'webhooks'>;

/** How long what concerns a poisoned order cannot be written: longer than a consumer tries. */
export const POISON_MS = 40 * 60_000;

export class Faults {
  /** What strikes at the next occasion, and how often still. */
  private readonly armed = new Map<Armed, number>();
  /** What lasts for a while. */
  private readonly lasting = new Set<Lasting>();

  /** `onStrike` is called with every item that strikes. */
  constructor(private readonly onStrike: (item: Item) => void) {}

  arm(item: Armed): void {
    this.armed.set(item, 'times' in item ? item.times : 1);
  }

  begin(item: Lasting): void {
    this.lasting.add(item);
    if (item.kind === 'outage' || item.kind === 'provider-down') this.onStrike(item);
  }

  end(item: Lasting): void {
    this.lasting.delete(item);
  }

  /** From now on nothing goes wrong. */
  endAll(): void {
    this.armed.clear();
    this.lasting.clear();
  }

  /** How much longer a step takes. */
  stallMs(service: Service, step: Step, moment: Moment): number {
    const item = this.strike((it) => it.kind === 'stall' && it.at.service === service && isAt(it.at, step, moment));
    return item?.kind === 'stall' ? item.forMs : 0;
  }

  /** What strikes an instance at a step. */
  at(service: Service, step: Step, moment: Moment): Kind<'crash' | 'error'> | undefined {
    return this.strike(
      (it): it is Kind<'crash' | 'error'> =>
        (it.kind === 'crash' || it.kind === 'error') && it.at.service === service && isAt(it.at, step, moment),
    );
  }

  deliveredTwice(service: Service, types: readonly string[]): boolean {
    return (
      this.strike((it) => it.kind === 'delivered-twice' && it.service === service && types.includes(it.type)) !==
      undefined
    );
  }

  /** How late the messages of a topic come to a service. */
  heldUpMs(service: Service, topic: string): number {
    const item = this.find((it) => it.kind === 'held-up' && it.service === service && it.topic === topic);
    if (item?.kind !== 'held-up') return 0;
    this.onStrike(item);
    return item.forMs;
  }

  isDown(service: Service, server: Server): boolean {
    return this.find((it) => it.kind === 'outage' && it.service === service && it.server === server) !== undefined;
  }

  /** Whether the table of a projection takes no rows. */
  isTableBroken(service: Service, projection: string): boolean {
    const item = this.find(
      (it) => it.kind === 'broken-table' && it.service === service && it.projection === projection,
    );
    if (item) this.onStrike(item);
    return item !== undefined;
  }

  /** Whether a service cannot write what concerns an order, which is given by the number of its item. */
  isPoisoned(service: Service, concerns: (order: number) => boolean): boolean {
    const item = this.find((it) => it.kind === 'poison' && it.service === service && concerns(it.order));
    if (item) this.onStrike(item);
    return item !== undefined;
  }

  provider(call: ProviderCall): Kind<'provider'>['how'] | undefined {
    if (this.find((it) => it.kind === 'provider-down')) return 'unavailable';
    return this.strike((it): it is Kind<'provider'> => it.kind === 'provider' && it.call === call)?.how;
  }

  /** What the provider does by itself at a request. */
  stray(call: Kind<'stray'>['call']): Kind<'stray'>['how'] | undefined {
    return this.strike((it): it is Kind<'stray'> => it.kind === 'stray' && it.call === call)?.how;
  }

  webhooks(): Kind<'webhooks'> | undefined {
    const item = this.find((it) => it.kind === 'webhooks');
    if (item?.kind !== 'webhooks') return undefined;
    this.onStrike(item);
    return item;
  }

  private strike<T extends Armed>(matches: (item: Armed) => item is T): T | undefined;
  private strike(matches: (item: Armed) => boolean): Armed | undefined;
  private strike(matches: (item: Armed) => boolean): Armed | undefined {
    for (const [item, times] of this.armed) {
      if (!matches(item)) continue;
      if (times > 1) this.armed.set(item, times - 1);
      else this.armed.delete(item);
      this.onStrike(item);
      return item;
    }
    return undefined;
  }

  private find(matches: (item: Lasting) => boolean): Lasting | undefined {
    for (const item of this.lasting) if (matches(item)) return item;
    return undefined;
  }
}
