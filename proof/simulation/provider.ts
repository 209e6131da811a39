/** A provider whose calls fail in all the ways that its port allows, as the plan says. */
import { PaymentProvider, ProviderTimeout, ProviderUnavailable } from '../../apps/payment/src/provider.js';
import type { ProviderCall } from './plan.js';
import type { Surroundings } from './process.js';

export class Unreliable extends PaymentProvider {
  constructor(
    private readonly provider: () => PaymentProvider,
    private readonly world: Pick<Surroundings, 'faults' | 'changed' | 'tell'>,
  ) {
    super();
  }

  override authorize(...[request, signal]: Parameters<PaymentProvider['authorize']>) {
    return this.call('authorize', request.orderId, signal, () => this.provider().authorize(request, signal));
  }

  override capture(...[request, signal]: Parameters<PaymentProvider['capture']>) {
    return this.call('capture', request.orderId, signal, () => this.provider().capture(request, signal));
  }

  override void(...[request, signal]: Parameters<PaymentProvider['void']>) {
    return this.call('void', request.orderId, signal, () => this.provider().void(request, signal));
  }

  override refund(...[request, signal]: Parameters<PaymentProvider['refund']>) {
    return this.call('refund', request.orderId, signal, () => this.provider().refund(request, signal));
  }

  override find(...[orderId, signal]: Parameters<PaymentProvider['find']>) {
    return this.call('find', orderId, signal, () => this.provider().find(orderId, signal));
  }

  private async call<T>(call: ProviderCall, orderId: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const { faults } = this.world;
    const fault = faults.provider(call);
    const say = (what: string) =>
      this.world.tell(
        'provider',
        () => `${call} ${orderId}: ${what}`,
        () => [orderId],
      );
    if (fault === 'unavailable') {
      say('unavailable');
      throw new ProviderUnavailable();
    }
    if (fault === 'request-lost') say('never came');
    else {
      try {
        const answer = await work();
        this.world.changed();
        say(`${JSON.stringify(answer)}${fault ? ', which nobody hears' : ''}`);
        if (!fault) return answer;
      } catch (error) {
        say(String(error));
        throw error;
      }
    }
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
    throw new ProviderTimeout();
  }
}
