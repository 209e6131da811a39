import type { EventStore, Snapshots } from '#event-store';
import type { DeadLetters, MessageBus, MessageCounters, ParkedMessages } from '#message-bus';
import type { Tables } from '#projections';
import type { Checkpoints, Leases, Runtime } from '#runtime';

/**
 * Everything that a service needs from outside. The services are plain functions of it: Nest passes adapters for real
 * servers, a simulation passes memory and a virtual clock.
 */
export interface ServicePorts extends Runtime {
  readonly store: EventStore;
  readonly snapshots: Snapshots;
  readonly bus: MessageBus;
  readonly tables: Tables;
  readonly checkpoints: Checkpoints;
  readonly parked: ParkedMessages;
  readonly deadLetters: DeadLetters;
  readonly leases: Leases;
  readonly counters: MessageCounters;
}
