/**
 * Stands between us and a server, and makes the connections that there are fall silent, as a firewall, a lost machine or a
 * balancer that hangs does: nothing more arrives, nobody says that they are closed. Or it slows them down until they are as
 * good as silent. New connections work.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** What falls silent: both directions, or one of them. With a trickle neither does, and a byte passes each second. */
export const SILENCES = ['both', 'to-server', 'to-client', 'trickle'] as const;
export type Silence = (typeof SILENCES)[number];

/** How long our servers' kernels wait for the other end of an idle connection: SERVER_KEEPALIVE (connection.ts), 5 + 3 × 2 s. */
const SERVER_GIVES_UP_MS = 11_000;

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  /** The first bytes that the client sent: for Postgres, who it is. */
  opening: string;
  silent: boolean;
}

export class SilentProxy {
  private readonly links = new Set<Link>();
  private readonly timers = new Set<NodeJS.Timeout>();
  private readonly listener: Server;

  /** `server` is a URL of the server that it stands before. */
  constructor(server: string) {
    const { hostname, port } = new URL(server);
    this.listener = createServer((client) => {
      const link = { client, server: connect(Number(port), hostname), opening: '', silent: false };
      this.links.add(link);
      client.once('data', (bytes: Buffer) => (link.opening = bytes.toString('latin1')));
      client.pipe(link.server).pipe(client);
      for (const socket of [client, link.server]) socket.on('error', () => {});
      client.once('close', () => this.links.delete(link));
      link.server.once('close', () => link.silent || client.destroy());
    });
  }

  async open(): Promise<void> {
    this.listener.listen(0, '127.0.0.1');
    await once(this.listener, 'listening');
  }

  get port(): number {
    return (this.listener.address() as AddressInfo).port;
  }

  /** The same URL by way of this proxy. */
  through(url: string): string {
    return Object.assign(new URL(url), { port: `${this.port}`, hostname: '127.0.0.1' }).href;
  }

  /** The names by which the applications on its connections introduced themselves to Postgres, as text for `silence`. */
  applications(): string[] {
    const names = [...this.links].map(({ opening }) => /\0application_name(\0[^\0]+\0)/.exec(opening)?.[1] ?? opening);
    return [...new Set(names)].toSorted();
  }

  /**
   * From now on the connections that there are swallow everything. `of` chooses those that began with such a text, for
   * example the name of the application that Postgres is told. The server ends its side when its kernel would.
   */
  silence({ how = 'both', of = '' }: { how?: Silence; of?: string } = {}): number {
    const chosen = [...this.links].filter(({ opening }) => opening.includes(of));
    for (const link of chosen) {
      const { client, server } = link;
      if (how === 'trickle') {
        for (const [from, to] of [
          [client, server],
          [server, client],
        ] as const)
          this.trickle(from, to);
        continue;
      }
      link.silent = true;
      if (how !== 'to-client') swallow(client, server);
      if (how !== 'to-server') swallow(server, client);
      this.timers.add(setTimeout(() => server.destroy(), SERVER_GIVES_UP_MS));
    }
    return chosen.length;
  }

  /** Closes the silent connections, on both sides: what was swallowed is lost for good, and everybody knows it. */
  cutSilent(): void {
    for (const { silent, client, server } of this.links) if (silent) [client, server].forEach((it) => it.destroy());
  }

  /** Each connection that there is passes so many more bytes to its client, and then ends amid what the server says. */
  cutOff(bytes: number): void {
    for (const { client, server } of this.links) {
      server.unpipe(client);
      let left = bytes;
      server.on('data', (chunk: Buffer) => {
        client.write(chunk.subarray(0, left));
        left -= chunk.length;
        if (left <= 0) [client, server].forEach((socket) => socket.end());
      });
      server.resume();
    }
  }

  private trickle(from: Socket, to: Socket): void {
    from.unpipe(to);
    let waiting = Buffer.alloc(0);
    from.on('data', (bytes: Buffer) => (waiting = Buffer.concat([waiting, bytes])));
    from.resume(); // What was piped stands still until then.
    const dripping = setInterval(() => {
      if (waiting.length > 0) to.write(waiting.subarray(0, 1));
      waiting = waiting.subarray(1);
    }, 1_000);
    this.timers.add(dripping);
    from.once('close', () => {
      clearInterval(dripping);
      to.destroy();
    });
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
