/** Stands before a server, which is away for whoever comes by it when the door is closed or silent. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class Door {
  private readonly sockets = new Set<Socket>();
  private readonly listener: Server;
  private isSilent = false;
  private port = 0;

  /** `server` is a URL of the server. */
  constructor(server: string) {
    const { hostname, port } = new URL(server);
    this.listener = createServer((client) => {
      this.keep(client);
      if (this.isSilent) return;
      const behind = connect(Number(port), hostname);
      this.keep(behind);
      client.pipe(behind).pipe(client);
      client.once('close', () => behind.destroy());
      behind.once('close', () => client.destroy());
    });
  }

  /** From now on it lets everybody through, also after it was closed or silent. */
  async open(): Promise<void> {
    if (this.isSilent) this.cutAll();
    this.isSilent = false;
    if (this.listener.listening) return;
    this.listener.listen(this.port, '127.0.0.1');
    await once(this.listener, 'listening');
    this.port = (this.listener.address() as AddressInfo).port;
  }

  /** Refuses connections, and cuts those that there are. */
  close(): void {
    this.listener.close();
    this.cutAll();
  }

  /** Takes connections and passes nothing on, nor on those that there are. */
  silence(): void {
    this.isSilent = true;
    for (const socket of this.sockets) socket.unpipe().pause();
  }

  /** The same URL by way of this door. */
  through(url: string): string {
    return Object.assign(new URL(url), { port: `${this.port}`, hostname: '127.0.0.1' }).href;
  }

  private keep(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => this.sockets.delete(socket));
  }

  private cutAll(): void {
    for (const socket of this.sockets) socket.destroy();
  }
}
