/**
 * SQL that gives each text column that is in an index of a schema the collation "C", which compares bytes and never
 * changes. The order of every other comes with the operating system or with ICU, and differs between their versions: after
 * an upgrade of the image, or on a standby of another system, an index no longer finds what it holds, and a unique one
 * lets the same name in twice.
 *
 * It changes what is not so yet: a table as it is, and its indexes, which are built anew while nobody else reads or writes
 * it. A statement that was prepared before would be refused for good ("cached plan must not change result type"). So the
 * other sessions of our programs are ended before anybody sees the change, as a restart of the server would end them.
 */
export const byteOrderSql = (schema: string) => `
DO $$
DECLARE
  changed record;
BEGIN
  FOR changed IN
    SELECT attrelid::regclass AS name,
      string_agg(format('ALTER COLUMN %I TYPE %s COLLATE "C"', attname, format_type(atttypid, atttypmod)), ', ') AS columns
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relkind = 'r' AND relnamespace = '${schema}'::regnamespace AND NOT attisdropped
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
`;
