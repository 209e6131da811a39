/** An instance of a service for specs of what stands before it: it answers as it is told, and remembers what it was sent. */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

type Answer = (response: ServerResponse, request: IncomingMessage) => void;

export const json: Answer = (response) => response.setHeader('content-type', 'application/json').end('{"is":"whole"}');

export class LittleService {
  seen: Seen[] = [];
  answer: Answer = json;
  private readonly server: Server;
  private port = 0;

  private constructor() {
    this.server = createServer(async (request, response) => {
      if (request.url === '/health/ready') return void response.end();
      const { method, url, headers, rawHeaders } = request;
      this.seen.push({ method: method!, url: url!, headers, rawHeaders, body: await text(request) });
      this.answer(response, request);
    });
  }

  static async open(): Promise<LittleService> {
    const little = new LittleService();
    await little.listen(0);
    return little;
  }

  private async listen(port: number): Promise<void> {
    await new Promise<void>((listening) => this.server.listen(port, '127.0.0.1', listening));
    this.port = (this.server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** As if its process were killed. */
  async close(): Promise<void> {
    if (!this.server.listening) return;
    const closed = new Promise((done) => this.server.close(done));
    this.server.closeAllConnections();
    await closed;
  }

  /** At the same port, as after a restart. */
  async reopen(): Promise<void> {
    await this.listen(this.port);
  }
}
