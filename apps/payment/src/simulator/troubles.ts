/** What operators can have the provider do wrong, where TROUBLE is true: it stands before the simulator and behind its webhooks. */
import { untilAborted } from '#runtime';
import type { Troubles, TroubleTable } from '#service';
import { type PaymentProvider, ProviderTimeout, ProviderUnavailable } from '../provider.js';
import type { Stray } from './payment.js';
import type { Deliver } from './webhooks.js';

export const providerTroubles = {
  'silence-provider': {
    does: 'Lets the provider do what it is asked, and never answer.',
    see: 'Each call is given up after PROVIDER_TIMEOUT. Nothing is concluded from silence: payment asks what became of it, and nobody pays twice.',
    seconds: 60,
  },
  'refuse-calls': {
    does: 'Lets the provider turn every call away, as one that is down does.',
    see: 'Payments wait and are tried again every few seconds; where those of many customers fail, the circuit opens. Orders go on where they stood.',
    seconds: 60,
  },
  'hold-less': {
    does: 'Lets the provider hold half of the sum that it is asked for.',
    see: 'Payment compares what it is told with what it asked for: such an order is not confirmed, and the money and the stock are given back.',
    seconds: 60,
  },
  'lose-webhooks': {
    does: 'Lets no webhook of the provider arrive.',
    see: 'Orders end as usual, by the answers to calls. The provider sends its webhooks again until they are taken, and what they repeat changes nothing.',
    seconds: 60,
  },
} as const satisfies TroubleTable;

type ProviderTroubles = Troubles<keyof typeof providerTroubles>;

/** The same provider, with the troubles that are on. */
export function troubledProvider(provider: PaymentProvider, troubles: ProviderTroubles): PaymentProvider {
  const call = async <T>(make: () => Promise<T>, signal: AbortSignal): Promise<T> => {
    if (troubles.strikes('refuse-calls')) throw new ProviderUnavailable();
    const answer = await make();
    if (!troubles.strikes('silence-provider')) return answer;
    await untilAborted(signal);
    throw new ProviderTimeout();
  };
  return {
    authorize: (request, signal) => call(() => provider.authorize(request, signal), signal),
    capture: (request, signal) => call(() => provider.capture(request, signal), signal),
    void: (request, signal) => call(() => provider.void(request, signal), signal),
    refund: (request, signal) => call(() => provider.refund(request, signal), signal),
    find: (orderId, signal) => call(() => provider.find(orderId, signal), signal),
  };
}

/** What the provider does by itself at a request, whatever the token. */
export function straysOf(
  troubles: ProviderTroubles,
): (operation: 'authorize' | 'capture' | 'refund') => Stray | undefined {
  return (operation) => (operation === 'authorize' && troubles.strikes('hold-less') ? 'less' : undefined);
}

/** A delivery that fails while webhooks are lost on their way: the provider sends them again. */
export function troubledDelivery(deliver: Deliver, troubles: ProviderTroubles): Deliver {
  return async (webhook, signal) => {
    if (troubles.strikes('lose-webhooks'))
      throw new Error('A trouble keeps webhooks from arriving: lose-webhooks is on.');
    await deliver(webhook, signal);
  };
}
