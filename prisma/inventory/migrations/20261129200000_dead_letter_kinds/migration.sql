-- What dead letters are found by, without looking into messages of any size. Generated, so that the release before may go
-- on writing, and its letters are found too. Postgres looks into no JSON with U+0000 or half a surrogate pair in it, which
-- a message may have: they count as question marks here. Parked messages are few but after an outage; while they are
-- written anew, consumers wait that park or retry. A connection of the release before on which it has prepared a statement
-- for all columns is refused that statement once, and replaced.
-- AlterTable
ALTER TABLE "parked_messages"
  ADD COLUMN "topic" TEXT GENERATED ALWAYS AS (
    regexp_replace("message"::text, '\\u(0000|d[89a-f][0-9a-f]{2})', '\\u003f', 'g')::json ->> 'topic'
  ) STORED,
  ADD COLUMN "type" TEXT GENERATED ALWAYS AS (
    regexp_replace("message"::text, '\\u(0000|d[89a-f][0-9a-f]{2})', '\\u003f', 'g')::json ->> 'type'
  ) STORED;

-- AlterTable
ALTER TABLE "dead_letter_decisions" ADD COLUMN "correlation_id" TEXT;
