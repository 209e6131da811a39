/**
 * The message bus in memory: for tests, and for services that a simulation runs together in one process. The messages
 * and the offsets live in a `MemoryLog`, which outlives the buses that are opened over it as a broker outlives its
 * clients. To the other members, a bus that closes in the middle of a batch looks like the crash of its process.
 */
import { Bell, type Clock, frozenCopy } from '#runtime';
import {
  type ConsumeOptions,
  type Delivered,
  type Message,
  MessageBus,
  redeliveryPauseMs,
  STORE_MS,
  type Unread,
} from './port.js';
import { PARTITIONS, partitionOf, rebalance } from './partitions.js';

/** The approximate number of messages in a batch, shared equally by the partitions. */
const BATCH = 500;

/** One `consume()` of a group. */
interface Member {
  readonly bell: Bell;
  readonly onAssigned: (() => void) | undefined;
  /** Aborts when its bus is closed. */
  readonly lost: AbortSignal;
}

/** A partition that a member owns, and how many of its messages the member is done with. */
interface Claim {
  readonly member: Member;
  done: number;
}

/** A group's place in a topic. */
interface Subscription {
  readonly messages: readonly (readonly Delivered[])[];
  readonly members: Member[];
  /** For each partition: how many messages are done as the log knows it, and who owns it. */
  readonly stored: number[];
  readonly claims: (Claim | undefined)[];
}

/** The published messages, and how far each group has got. */
export class MemoryLog {
  private readonly topics = new Map<string, Delivered[][]>();
  private readonly subscriptions = new Map<string, Map<string, Subscription>>();

  constructor(private readonly partitions = PARTITIONS) {}

  /** The messages of a topic, by partition. */
  topic(topic: string): Delivered[][] {
    const known = this.topics.get(topic);
    if (known) return known;
    const made = Array.from({ length: this.partitions }, () => []);
    this.topics.set(topic, made);
    return made;
  }

  /** The groups that read a topic. */
  groups(topic: string): Map<string, Subscription> {
    const known = this.subscriptions.get(topic);
    if (known) return known;
    const made = new Map<string, Subscription>();
    this.subscriptions.set(topic, made);
    return made;
  }

  subscription(group: string, topic: string): Subscription {
    const groups = this.groups(topic);
    const known = groups.get(group);
    if (known) return known;
    const messages = this.topic(topic);
    const made = { messages, members: [], stored: messages.map(() => 0), claims: messages.map(() => undefined) };
    groups.set(group, made);
    return made;
  }
}

export class MemoryMessageBus extends MessageBus {
  private readonly clock: Clock;
  private readonly log: MemoryLog;
  private readonly closing = new AbortController();
  /** Each makes one member of this bus leave its group. */
  private readonly leaving = new Set<() => void>();

  constructor({
    clock,
    partitions,
    log = new MemoryLog(partitions),
  }: {
    clock: Clock;
    partitions?: number;
    log?: MemoryLog;
  }) {
    super();
    this.clock = clock;
    this.log = log;
  }

  override async publish(topic: string, messages: readonly Message[]): Promise<void> {
    this.assertOpen();
    const partitions = this.log.topic(topic);
    for (const message of messages) {
      const partition = partitionOf(message.key, partitions.length);
      const log = partitions[partition]!;
      log.push(Object.freeze({ ...frozenCopy(message), topic, partition, offset: BigInt(log.length) }));
    }
    this.log.groups(topic).forEach(ringAll);
  }

  override async consume({ group, topics, handle, onAssigned, signal }: ConsumeOptions): Promise<void> {
    this.assertOpen();
    const member: Member = { bell: new Bell(), onAssigned, lost: this.closing.signal };
    const subscriptions = topics.map((topic) => this.log.subscription(group, topic));
    const leave = () => {
      subscriptions.forEach((subscription) => dismiss(subscription, member));
      this.leaving.delete(leave);
    };
    this.leaving.add(leave);
    for (const subscription of subscriptions) {
      subscription.members.push(member);
      ringAll(subscription);
    }
    try {
      await this.deliver(subscriptions, member, handle, signal);
    } finally {
      leave();
    }
  }

  private async deliver(
    subscriptions: readonly Subscription[],
    member: Member,
    handle: ConsumeOptions['handle'],
    signal: AbortSignal,
  ): Promise<void> {
    const stop = AbortSignal.any([signal, member.lost]);
    let failures = 0;
    while (!stop.aborted) {
      subscriptions.forEach((subscription) => share(subscription, member));
      member.bell.reset();
      const { batch, mayHaveMore, done } = takeNext(subscriptions, member);
      if (batch.length === 0) {
        await member.bell.wait(stop);
        continue;
      }
      try {
        await handle(batch, member.lost);
        failures = 0;
      } catch {
        await this.clock.sleep(redeliveryPauseMs(failures++), stop);
        continue;
      }
      done();
      if (!mayHaveMore) await member.bell.wait(stop, { clock: this.clock, pollMs: STORE_MS });
    }
    if (!member.lost.aborted) subscriptions.forEach((subscription) => store(subscription, member));
    if (!signal.aborted) this.assertOpen();
  }

  override async rewind(group: string, topics: readonly string[]): Promise<void> {
    this.assertOpen();
    const subscriptions = topics.map((topic) => this.log.subscription(group, topic));
    if (subscriptions.some(({ members }) => members.length > 0)) {
      throw new Error(`The group ${group} is consuming: stop its instances, then rewind it.`);
    }
    subscriptions.forEach(({ stored }) => stored.fill(0));
  }

  override async unread(group: string, topics: readonly string[]): Promise<readonly Unread[]> {
    this.assertOpen();
    return topics.flatMap((topic) => {
      const subscription = this.log.groups(topic).get(group);
      return (subscription?.stored ?? []).flatMap((done, partition) => {
        const unread = subscription!.messages[partition]!.length - done;
        return unread > 0 ? [{ topic, partition, done: BigInt(done - 1), unread }] : [];
      });
    });
  }

  override async ping(): Promise<void> {
    this.assertOpen();
  }

  /** The offset of a batch under way is not stored, and its partitions are free for other instances at once. */
  override async close(): Promise<void> {
    this.closing.abort(new Error('This message bus is closed.'));
    this.leaving.forEach((leave) => leave());
  }

  private assertOpen(): void {
    this.closing.signal.throwIfAborted();
  }
}

function ringAll({ members }: Subscription): void {
  members.forEach(({ bell }) => bell.ring());
}

/** Gives up what exceeds the member's fair share and claims what it lacks. Runs between batches. */
function share(subscription: Subscription, member: Member): void {
  const { members, stored, claims } = subscription;
  const partitions = [...claims.keys()];
  const { giveUp, claim } = rebalance({
    partitions: claims.length,
    members: members.length,
    rank: members.indexOf(member),
    owned: partitions.filter((partition) => claims[partition]?.member === member),
    free: partitions.filter((partition) => claims[partition] === undefined),
  });
  for (const partition of claim) claims[partition] = { member, done: stored[partition]! };
  if (claim.length > 0) member.onAssigned?.();
  if (giveUp.length === 0) return;
  store(subscription, member); // The next owner of a partition resumes there.
  for (const partition of giveUp) claims[partition] = undefined;
  members.filter((other) => other !== member).forEach(({ bell }) => bell.ring());
}

function dismiss(subscription: Subscription, member: Member): void {
  const { members, claims } = subscription;
  if (!members.includes(member)) return;
  members.splice(members.indexOf(member), 1);
  for (const partition of claims.keys()) if (claims[partition]?.member === member) claims[partition] = undefined;
  ringAll(subscription);
}

/** Stores the offsets of what the member is done with. */
function store({ stored, claims }: Subscription, member: Member): void {
  for (const [partition, claim] of claims.entries()) if (claim?.member === member) stored[partition] = claim.done;
}

/** Stores what is done, and takes the next messages of all partitions that the member owns; `done` marks them as done. */
function takeNext(subscriptions: readonly Subscription[], member: Member) {
  subscriptions.forEach((subscription) => store(subscription, member));
  const owned = subscriptions.flatMap(({ messages, claims }) =>
    claims.flatMap((claim, partition) => (claim?.member === member ? [{ claim, log: messages[partition]! }] : [])),
  );
  const limit = Math.ceil(BATCH / owned.length);
  const parts = owned.map(({ claim, log }) => {
    const messages = log.slice(claim.done, claim.done + limit);
    return { messages, claim, end: claim.done + messages.length };
  });
  return {
    batch: parts.flatMap(({ messages }) => messages),
    /** Whether a partition filled its share. */
    mayHaveMore: parts.some(({ messages }) => messages.length === limit),
    done: () => parts.forEach(({ claim, end }) => (claim.done = end)),
  };
}
