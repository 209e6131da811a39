/**
 * Stands between us and a server, and makes the connections that there are fall silent, as a firewall, a lost machine or a
 * balancer that hangs does: nothing more arrives, nobody says that they are closed. New connections work.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** What still passes: both directions fall silent, or only one of them. */
export type Direction = 'both' | 'to-server' | 'to-client';

/** How long our servers' kernels wait for the other end of an idle connection: SERVER_KEEPALIVE (connection.ts), 5 + 3 × 2 s. */
const SERVER_GIVES_UP_MS = 11_000;

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  /** The first bytes that the client sent: for Postgres, who it is. */
  opening: string;
}

export class SilentProxy {
  private readonly links = new Set<Link>();
  private readonly timers = new Set<NodeJS.Timeout>();
  private readonly listener: Server;

  /** `server` is a URL of the server that it stands before. */
  constructor(server: string) {
    const { hostname, port } = new URL(server);
    this.listener = createServer((client) => {
      const link = { client, server: connect(Number(port), hostname), opening: '' };
      this.links.add(link);
      client.once('data', (bytes: Buffer) => (link.opening = bytes.toString('latin1')));
      client.pipe(link.server).pipe(client);
      for (const socket of [client, link.server]) socket.on('error', () => {});
      client.once('close', () => this.links.delete(link));
    });
  }

  async open(): Promise<void> {
    this.listener.listen(0, '127.0.0.1');
    await once(this.listener, 'listening');
  }

  /** The same URL by way of this proxy. */
  through(url: string): string {
    const { port } = this.listener.address() as AddressInfo;
    return Object.assign(new URL(url), { port: `${port}`, hostname: '127.0.0.1' }).href;
  }

  /**
   * From now on the connections that there are swallow everything. `of` chooses those that began with such a text, for
   * example the name of the application that Postgres is told. The server ends its side when its kernel would.
   */
  silence({ direction = 'both', of = '' }: { direction?: Direction; of?: string } = {}): number {
    const silenced = [...this.links].filter(({ opening }) => opening.includes(of));
    for (const { client, server } of silenced) {
      if (direction !== 'to-client') swallow(client, server);
      if (direction !== 'to-server') swallow(server, client);
      const giveUp = setTimeout(() => server.destroy(), SERVER_GIVES_UP_MS);
      this.timers.add(giveUp);
    }
    return silenced.length;
  }

  close(): void {
    this.timers.forEach(clearTimeout);
    for (const { client, server } of this.links) [client, server].forEach((socket) => socket.destroy());
    this.listener.close();
  }
}

/** Reads on, so that the sender notices nothing, and passes nothing on, not even the end. */
function swallow(from: Socket, to: Socket): void {
  from.unpipe(to);
  from.resume();
}
