/** The table and the functions of the Postgres event store, in a schema of their own in the service's database. */
import { byteOrderSql } from '#runtime/postgres';

/**
 * Raise it with every change of `SCHEMA`: a store that opens installs `SCHEMA` when the installed version is lower.
 *
 * There is no other migration path: `SCHEMA` must be safe to run over every earlier version. CREATE OR REPLACE suffices
 * while only the bodies of functions change, but CREATE TABLE IF NOT EXISTS leaves an existing table as it is. When a
 * column has to change, add an idempotent ALTER TABLE for both `events` and `archive`, with the columns in the same order
 * (`log` and `archive()` use SELECT *). Drop the view before it, unless the column is only added at the end, and drop each
 * function whose result changes. Instances of the old version still run meanwhile: what they call has to keep working
 * until the last of them has stopped, so a change that they cannot bear takes two deployments.
 */
export const SCHEMA_VERSION = 3;

/** The key of the advisory lock that serialises appends, in SQL. */
export const LOCK = `hashtextextended('event_store.append', 0)`;

/**
 * `append` writes a batch of appends, each with a verdict of its own; `append_one` is the same for a single event, which
 * is the usual case in a quiet service, and takes a sixth less time without the arrays.
 *
 * Appends of the whole database take the lock one after the other, and keep it until their transaction has committed. So
 * positions are assigned in the order of commits, and a reader that sees one sees all below it. A sequence would not do:
 * with it, a transaction that commits late appears behind its readers. Each statement of the functions sees what was
 * committed when it began (READ COMMITTED), so those after the lock see what its last holder wrote.
 *
 * The plans are generic, because otherwise Postgres, which guesses the length of an array, plans again with every call,
 * and that takes longer than the call itself.
 *
 * `data` and `metadata` are json, not jsonb: the store never looks into them, and json keeps any string exactly as it was
 * written and takes 40 % less time to write. In a query by hand, `data::jsonb` converts it. There is no index on `id`:
 * ids are unique because writers draw them at random, and the expected revision prevents writing twice.
 *
 * Old events may be moved to the table `archive`, so that `events` and its indexes, which every append touches at a
 * random place, stay small. `log` is the union of both, and all reads use it: a statement sees an event in exactly one of
 * them. The last event always stays in `events`, because positions continue from it.
 */
export const SCHEMA = `
SELECT pg_advisory_xact_lock(${LOCK});

CREATE SCHEMA IF NOT EXISTS event_store;

CREATE TABLE IF NOT EXISTS event_store.events (
  position    bigint      NOT NULL PRIMARY KEY,
  append_end  bigint      NOT NULL, -- the position of the last event of the same append
  recorded_at timestamptz NOT NULL,
  id          uuid        NOT NULL,
  revision    int         NOT NULL,
  stream      text        NOT NULL COLLATE "C",
  category    text        NOT NULL,
  type        text        NOT NULL,
  data        json        NOT NULL,
  metadata    json        NOT NULL,
  UNIQUE (stream, revision)
);

CREATE TABLE IF NOT EXISTS event_store.archive (LIKE event_store.events INCLUDING ALL);

-- Before version 3, streams were compared in the order of the database. A view fixes the collation of its columns.
DROP VIEW IF EXISTS event_store.log;
${byteOrderSql('event_store')}
CREATE OR REPLACE VIEW event_store.log AS SELECT * FROM event_store.events UNION ALL SELECT * FROM event_store.archive;

-- Moves events up to a position to the archive. Returns how many.
CREATE OR REPLACE FUNCTION event_store.archive(up_to bigint) RETURNS bigint LANGUAGE sql AS $$
  WITH moved AS (
    DELETE FROM event_store.events e
    WHERE e.position <= up_to AND e.position < (SELECT max(l.position) FROM event_store.events l)
    RETURNING *
  ), archived AS (INSERT INTO event_store.archive SELECT * FROM moved RETURNING 1)
  SELECT count(*) FROM archived
$$;

-- Numbers events from 1 in the order given, and puts them behind the last position; a refused append leaves its numbers
-- unused. The arrays whose names are singular have one entry per event.
CREATE OR REPLACE FUNCTION event_store.append(
  now        timestamptz,
  openings   int[],   -- the first event of each write: it shows where the writer saw the stream
  append_end int[],   -- the last event of the event's append
  stream     text[],
  revision   int[],
  id         uuid[],
  type       text[],
  data       json[],
  metadata   json[],
  OUT head   bigint,  -- the position that the events were put behind
  OUT moved  int[]    -- those of the openings whose stream was elsewhere: their appends were refused
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_variable
DECLARE
  refused int[];
BEGIN
  PERFORM pg_advisory_xact_lock(${LOCK});

  SELECT array_agg(n), array_agg(append_end[n]) INTO moved, refused
  FROM unnest(openings) AS n
  WHERE revision[n] <> 1 + coalesce(
    (SELECT max(e.revision) FROM event_store.events e WHERE e.stream = append.stream[n]),
    (SELECT max(a.revision) FROM event_store.archive a WHERE a.stream = append.stream[n]),
    -1);

  head := coalesce((SELECT max(e.position) FROM event_store.events e), 0);

  INSERT INTO event_store.events
    (position, append_end, recorded_at, id, revision, stream, category, type, data, metadata)
  SELECT
    head + n, head + append_end[n], now, id[n], revision[n], stream[n], split_part(stream[n], '-', 1), type[n],
    data[n], metadata[n]
  FROM generate_series(1, cardinality(id)) AS n
  WHERE refused IS NULL OR append_end[n] <> ALL (refused);
END $$;

-- Returns the position, or null when the stream was elsewhere.
CREATE OR REPLACE FUNCTION event_store.append_one(
  now timestamptz, stream text, revision int, id uuid, type text, data json, metadata json
) RETURNS bigint LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  place bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(${LOCK});

  IF revision <> 1 + coalesce(
    (SELECT max(e.revision) FROM event_store.events e WHERE e.stream = append_one.stream),
    (SELECT max(a.revision) FROM event_store.archive a WHERE a.stream = append_one.stream),
    -1) THEN
    RETURN NULL;
  END IF;

  place := 1 + coalesce((SELECT max(e.position) FROM event_store.events e), 0);

  INSERT INTO event_store.events
    (position, append_end, recorded_at, id, revision, stream, category, type, data, metadata)
  VALUES (place, place, now, id, revision, stream, split_part(stream, '-', 1), type, data, metadata);
  RETURN place;
END $$;

COMMENT ON SCHEMA event_store IS '${SCHEMA_VERSION}';
`;
