import type { Clock } from '#runtime';
import type { MessageBus } from './port.js';

export interface KafkaMessageBusOptions {
  /** `kafka://host:port,host:port`, or `kafkas://` for TLS: see `kafka-url.ts`. */
  readonly url: string;
  readonly clock: Clock;
  /** Topics that must be there. */
  readonly topics: readonly string[];
}

export abstract class KafkaMessageBus {
  static async open(_options: KafkaMessageBusOptions): Promise<MessageBus> {
    throw new Error('Not yet.');
  }
}
