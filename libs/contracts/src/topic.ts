/**
 * A topic: where a service tells the others what happened. Its zod schemas are the single source of the messages'
 * types, of the check at the border, and of the documents generated from them.
 */
import type { z } from 'zod';

export interface Topic<Schemas extends Record<string, z.ZodObject>> {
  /** The topic's name on the bus, with the version of its contract. */
  readonly name: string;
  /** CloudEvents' `source`: the service that speaks. */
  readonly source: string;
  /** The data of each message, by the message's type. */
  readonly schemas: Schemas;
}

export type AnyTopic = Topic<Record<string, z.ZodObject>>;

/** The messages of a topic as a union that `type` tells apart. */
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
