/**
 * What stands between a service and its Postgres where TROUBLE is true: while the trouble `silence-database` is on, what the
 * service asks arrives there, and every answer is swallowed. Nobody says that a connection is over, as when a firewall forgets it.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { type BaseConfig, StartError } from '../config.js';
import type { Troubles } from '../troubles/troubles.js';

type Silence = Troubles<'silence-database'>;

/**
 * The same configuration, where every URL of a Postgres leads through here, but for that of the bus, which is another server to
 * the service wherever it is.
 * @throws StartError for a URL that names no host and port, or asks for TLS
 */
export async function throughSilence<C extends BaseConfig>(
  config: C,
  troubles: Silence,
  closing: { onClose(close: () => Promise<unknown>): void },
): Promise<C> {
  const servers = new Map<string, Server>();
  const changed: Record<string, string> = {};
  for (const [name, value] of Object.entries(config)) {
    if (name === 'MESSAGE_BUS_URL' || typeof value !== 'string' || !/^postgres(ql)?:\/\//.test(value)) continue;
    const url = new URL(value);
    const isPlain = /^(disable)?$/.test(url.searchParams.get('sslmode') ?? '') && !url.searchParams.has('ssl');
    if (url.hostname === '' || url.searchParams.has('host') || !isPlain) {
      const what = `TROUBLE is true, and ${name} asks for TLS or names no host, so that nothing can stand before its server`;
      throw new StartError(`${what}. Set TROUBLE to false.`, 78);
    }
    const { host } = url;
    const server = servers.get(host) ?? (await openServer(url, troubles, closing));
    servers.set(host, server);
    url.port = `${(server.address() as AddressInfo).port}`;
    url.hostname = '127.0.0.1';
    changed[name] = url.href;
  }
  return { ...config, ...changed };
}

async function openServer(
  { hostname, port }: URL,
  troubles: Silence,
  closing: { onClose(close: () => Promise<unknown>): void },
): Promise<Server> {
  const links = new Set<Socket>();
  const server = createServer((client) => {
    const database = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 5432), noDelay: true });
    const end = () => [client, database].forEach((socket) => socket.destroy());
    let isSilent = false;
    client.setNoDelay();
    client.pipe(database);
    database.on('data', (answer) => {
      const silence = troubles.lasting('silence-database');
      // Once an answer is missing, those after it would be taken for it: the connection ends with the silence.
      if (silence && !isSilent) {
        isSilent = true;
        silence.addEventListener('abort', end, { once: true });
      }
      if (isSilent) troubles.strikes('silence-database');
      else if (!client.write(answer)) database.pause();
    });
    client.on('drain', () => database.resume());
    database.on('end', () => isSilent || client.end());
    links.add(client);
    client.once('close', () => links.delete(client));
    for (const socket of [client, database]) socket.on('error', () => {}).once('close', () => isSilent || end());
    client.once('close', end);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.onClose(async () => {
    for (const link of links) link.destroy();
    await new Promise((closed) => server.close(closed));
  });
  return server;
}
