import pg from 'pg';

/** Bare `pg`: a pool, for statements that have a name and so are prepared once per connection. */
export function openPool(url: string, connections: number): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: connections });
  // Without a listener, an idle connection that the server closes would end the process.
  pool.on('error', () => {});
  return pool;
}
