import type { EventStore, Snapshots } from '#event-store';
import type { MessageBus, MessageCounters, ParkedMessages } from '#message-bus';
import type { Tables } from '#projections';
import type { Checkpoints, Leases, Runtime } from '#runtime';

/**
 * All that a service needs of the world. The three services are plain functions of this: Nest gives them adapters for
 * real servers, a simulation gives them memory and a virtual clock.
 */
export interface ServicePorts extends Runtime {
  readonly store: EventStore;
  readonly snapshots: Snapshots;
  readonly bus: MessageBus;
  readonly tables: Tables;
  readonly checkpoints: Checkpoints;
  readonly parked: ParkedMessages;
  readonly leases: Leases;
  readonly counters: MessageCounters;
}
