import type { Clock } from '#runtime';
import type { EventStore } from './port.js';

export abstract class KurrentDbEventStore {
  static async open(_options: { readonly url: string; readonly clock: Clock }): Promise<EventStore> {
    throw new Error('Not yet.');
  }
}
