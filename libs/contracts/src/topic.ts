/**
 * A topic: where a service publishes what happened, for other services. Its zod schemas are the single source of the
 * messages' types, of the validation of incoming messages, and of the generated documents.
 */
import type { z } from 'zod';

export interface Topic<Schemas extends Record<string, z.ZodObject>> {
  /** The topic's name on the bus, with the version of its contract. */
  readonly name: string;
  /** CloudEvents' `source`: the service that publishes. */
  readonly source: string;
  /** The data of each message, by the message's type. */
  readonly schemas: Schemas;
}

/** A topic whatever its messages. */
export type AnyTopic = Topic<Record<string, z.ZodObject>>;

/** The messages of a topic as a union, discriminated by `type`. */
export type MessageOf<T> =
  T extends Topic<infer Schemas>
    ? {
        [Type in keyof Schemas & string]: { readonly type: Type; readonly data: z.infer<Schemas[Type]> };
      }[keyof Schemas & string]
    : never;

export function topic<Schemas extends Record<string, z.ZodObject>>(
  name: string,
  source: string,
  schemas: Schemas,
): Topic<Schemas> {
  return { name, source, schemas };
}
