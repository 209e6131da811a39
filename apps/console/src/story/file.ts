/** Stories as files: what the gateway told, kept or handed on, and shown again without it. */
import { z } from 'zod/mini';
import type { Story } from '../../../gateway/src/api.js';

/** No story comes near it; a file of another kind may. */
const MAX_BYTES = 20_000_000;

const text = z.string();
const time = z.iso.datetime();

const message = z.object({ topic: text, partition: z.number(), offset: text });

const fact = z.object({
  id: text,
  service: text,
  stream: text,
  revision: z.number(),
  position: z.optional(text), // A customer is not told it, nor what led to a fact.
  type: text,
  data: z.custom<Record<string, unknown>>((value) => typeof value === 'object' && value !== null),
  recordedAt: time,
  correlationId: z.optional(text),
  causationId: z.optional(text),
  traceparent: z.optional(text),
  actor: z.optional(text),
  reason: z.optional(text),
  message: z.optional(message),
  shown: z.record(text, z.nullable(time)),
});

const ahead = z.object({
  awaits: z.array(z.object({ what: text, from: text, since: time, reminderAt: z.optional(time) })),
  deadlineAt: z.optional(time),
  choices: z.array(z.object({ name: text, allowed: z.boolean(), code: z.optional(text), detail: text })),
});

const exchange = z.object({
  what: text,
  asked: z.optional(text),
  answer: z.optional(text),
  by: z.optional(z.enum(['call', 'webhook'])),
  dropped: z.optional(z.literal(true)),
});

const story = z.object({
  orderId: text,
  at: time,
  complete: z.boolean(),
  missing: z.array(text),
  facts: z.array(fact),
  ahead: z.optional(ahead),
  exchanges: z.optional(z.array(exchange)), // Files from before it was told have none.
  troubles: z.optional(z.array(z.object({ at: time, service: z.optional(text), what: text, until: z.optional(time) }))),
});

/** @throws Error that says in words why the file is no story */
export function parseStory(content: string): Story {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch {
    throw new Error('The file is not JSON. Stories are saved with the button on the page of an order.');
  }
  const { success, data, error } = story.safeParse(value);
  if (success) return data;
  const { path } = error.issues[0]!;
  const place = path.length === 0 ? 'It is' : `Its ${z.core.toDotPath(path)} is missing or`;
  throw new Error(`The file is JSON, and no story. ${place} not as a story has it.`);
}

/** @throws Error that says in words why the file is no story */
export async function readStory(file: File): Promise<Story> {
  if (file.size > MAX_BYTES) throw new Error('The file is larger than 20 MB: it is no story.');
  return parseStory(await file.text());
}
