-- Names and keys are compared by their bytes (COLLATE "C"), which no upgrade of the system changes: each text column that is
-- in an index, of every table in this schema. See docs/operations.md (Upgrading) for what it costs. The text is that of
-- libs/runtime/src/postgres/byte-order.ts, which has the reasons.
DO $$
DECLARE
  changed record;
BEGIN
  FOR changed IN
    SELECT attrelid::regclass AS name,
      string_agg(format('ALTER COLUMN %I TYPE %s COLLATE "C"', attname, format_type(atttypid, atttypmod)), ', ') AS columns
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND NOT attisdropped
      AND attcollation NOT IN (0, '"C"'::regcollation)
      AND EXISTS (SELECT FROM pg_index WHERE indrelid = attrelid AND attnum = ANY (indkey))
    GROUP BY attrelid
  LOOP
    EXECUTE format('ALTER TABLE %s %s', changed.name, changed.columns);
    EXECUTE format('ANALYZE %s', changed.name);
  END LOOP;
  IF FOUND THEN
    PERFORM pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
      AND application_name LIKE 'larder%';
  END IF;
END $$;
