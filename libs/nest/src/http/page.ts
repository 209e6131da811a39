/**
 * Pages of lists. A list is in the order of some columns, the last of which is unique, and a cursor is the place of the
 * last row of a page in that order. So the next page is one look into an index, however many pages were before it, and
 * what is added meanwhile shifts nothing.
 */
import { z } from 'zod';

/** A number of the query, in digits. `z.coerce` would take 0x10 and 1e2 as well, and nothing at all for 0. */
export function inDigits(schema: z.ZodInt) {
  return z.preprocess((text) => (typeof text === 'string' && /^-?\d{1,16}$/.test(text) ? Number(text) : text), schema);
}

/** How many items a page has: `limit` of the query. */
export const pageLimit = inDigits(z.int().min(1).max(200)).prefault(50);

/** A moment as our rows have it: in a doctored cursor, a time that no row can have would be an error of the database. */
export const moment = z.iso
  .datetime({ precision: 3 })
  .refine((text) => /^(19[7-9]\d|[2-9]\d{3})-/.test(text) && new Date(text).toISOString() === text);

/** `cursor` of the query: a place that `toPage` has made of these parts. What it has not made is refused with 422. */
export function cursor<Parts extends readonly [z.ZodType<string>, ...z.ZodType<string>[]]>(...parts: Parts) {
  const place = z.tuple(parts);
  return z
    .string()
    .max(200)
    .transform((text, context) => {
      const parsed = place.safeParse(Buffer.from(text, 'base64url').toString().split(' '));
      if (parsed.success && cursorOf(...(parsed.data as string[])) === text) return parsed.data;
      context.addIssue('This cursor was not issued by this service: send `next` of the previous page.');
      return z.NEVER;
    })
    .optional()
    .describe('`next` of the previous page');
}

/** The schema of a page. */
export function pageOf<Item extends z.ZodType>(item: Item) {
  return z.object({
    items: z.array(item),
    next: z.string().optional().describe('`cursor` of the next page, if there is one'),
  });
}

/**
 * The page of rows of which up to `limit` + 1 were looked up: the last tells whether another page follows. `placeOf` gives
 * the parts of a row's place: texts without a space.
 */
export function toPage<Row, Item>(
  found: readonly Row[],
  limit: number,
  viewOf: (row: Row) => Item,
  placeOf: (row: Row) => readonly string[],
): { items: Item[]; next?: string } {
  const rows = found.slice(0, limit);
  const last = found.length > limit ? rows.at(-1) : undefined;
  return { items: rows.map(viewOf), ...(last !== undefined && { next: cursorOf(...placeOf(last)) }) };
}

/** A place as text for a URL. */
export function cursorOf(...place: readonly string[]): string {
  return Buffer.from(place.join(' ')).toString('base64url');
}
