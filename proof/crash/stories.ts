/**
 * What a crash was for one order, in the form in which the console shows the orders of a shop: of each crash the story of
 * the order that it struck, as the gateway tells it, with every kill and how long the victim was away.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Story, StoryFact } from '../../apps/gateway/src/api.js';
import { call } from '../../scripts/lib/api.js';
import type { Shop } from '../shop/open-shop.js';
import { withTroubles } from '../simulation/stories.js';
import type { Crash, Kill, Outcome, Row } from './matrix.js';

export class StoryKeeper {
  /** How many files there are. */
  kept = 0;

  private constructor(
    private readonly shop: Shop,
    private readonly gateway: string,
    private readonly folder: string,
  ) {}

  /** The folder has to be there. */
  static async open(shop: Shop, folder: string): Promise<StoryKeeper> {
    return new StoryKeeper(shop, await shop.addGateway(), folder);
  }

  /** Writes the story of a crash; nothing where it struck no order. */
  async keep({ victim, step }: Row, crash: Crash, { orderIds, kills }: Outcome): Promise<void> {
    const stories: Story[] = [];
    for (const orderId of orderIds) stories.push(await this.told(orderId));
    const story = struckBy(crash, kills, stories);
    if (!story) return;
    const name = `${victim} ${step} ${crash.when}`.replaceAll(/[^\w]+/g, '-');
    writeFileSync(join(this.folder, `${name}.story.json`), JSON.stringify(story, null, 2));
    this.kept++;
  }

  /** An instance that has just started again may not be asked yet. */
  private told(orderId: string): Promise<Story> {
    return this.shop.until(`the story of ${orderId} is whole`, async () => {
      const url = `${this.gateway}/orders/${orderId}/story`;
      const found = await call<Story>('GET', url, undefined, this.shop.anybody);
      return { done: found.complete, found };
    });
  }
}

/**
 * The story of the order that the last of the kills struck, with all of them: one that has no end, if there is any; else of
 * those under way the one whose fact was the next, when the victim died before its step, or the last, when it died after it.
 */
export function struckBy(
  { when, about }: Pick<Crash, 'when' | 'about'>,
  kills: readonly Kill[],
  stories: readonly Story[],
): Story | undefined {
  const kill = kills.at(-1);
  if (!kill) return undefined;
  const isEarlier = ({ recordedAt }: StoryFact) => recordedAt <= kill.at;
  const placed = stories.filter(({ facts }) => facts.some(isEarlier));
  const endless = placed.filter(({ ahead }) => ahead && ahead.awaits.length > 0);
  const underWay = placed.filter(({ facts }) => !facts.every(isEarlier));
  const isOnItsSide = (fact: StoryFact) => isEarlier(fact) === (when !== 'before');
  // The event of its step, or else what the victim did, or else what anybody did.
  const kinds: ((fact: StoryFact) => boolean)[] = [
    (fact) => isOnItsSide(fact) && fact.type === about,
    (fact) => isOnItsSide(fact) && fact.service === kill.service,
    () => true,
  ];
  const candidates = (endless.length > 0 ? endless : underWay).flatMap((story) =>
    story.facts.map((fact) => ({ story, fact, ms: Math.abs(Date.parse(fact.recordedAt) - Date.parse(kill.at)) })),
  );
  candidates.sort((a, b) => a.ms - b.ms);
  const kind = kinds.find((isOfKind) => candidates.some(({ fact }) => isOfKind(fact)));
  const struck = kind && candidates.find(({ fact }) => kind(fact))!.story;
  const troubles = kills.map(({ at, until, service, what }) => ({ at, until, ...(service && { service }), what }));
  return struck && withTroubles(struck, troubles);
}
