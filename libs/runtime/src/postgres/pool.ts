import pg from 'pg';

/**
 * For connections whose queries all have an index to use: a plan kept from when a table was empty would scan the whole
 * table once it is full.
 */
export const BY_INDEX = '-c enable_seqscan=off';

/** The server notices within about 10 s that a machine died without a word, and frees what its session held. */
export const SERVER_KEEPALIVE = '-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3';

/** A pool whose queries fail within 1.5 s when the server cannot be reached. `max` counts connections. */
export function postgresPool(url: string, { max = 8, name = 'larder', options = '' } = {}): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max,
    application_name: name,
    options,
    connectionTimeoutMillis: 1_500,
    keepAlive: true,
  });
  // An idle connection that the server closes is replaced at the next query; without a listener it would end the process.
  pool.on('error', () => {});
  return pool;
}
