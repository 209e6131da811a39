/**
 * A request to an instance and its answer, as undici's dispatcher reports them. A short answer is gathered and is whole; a
 * long one, or one of unknown length, is a stream, which is read from the connection no faster than its reader reads.
 */
import type { Dispatcher } from 'undici';
import type { IncomingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import type { ServiceAnswer } from './calls.js';

type Controller = Dispatcher.DispatchController;

/** Answers up to this length, in bytes, are gathered. */
const SHORT = 64 * 1024;

export class RoundTrip implements Dispatcher.DispatchHandler {
  /** @throws what the round trip was aborted with; an error of the connection */
  readonly answer: Promise<ServiceAnswer>;
  private resolve!: (answer: ServiceAnswer) => void;
  private reject!: (reason: unknown) => void;
  private controller: Controller | undefined;
  private reason: Error | undefined;
  private status = 0;
  private headers: IncomingHttpHeaders = {};
  private readonly chunks: Buffer[] = [];
  private stream: Readable | undefined;

  constructor() {
    this.answer = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
  }

  /** Ends it, wherever it is. */
  abort(reason: Error): void {
    this.reason ??= reason;
    this.controller?.abort(reason);
    this.fail(reason);
  }

  onRequestStart(controller: Controller): void {
    this.controller = controller;
    if (this.reason) controller.abort(this.reason);
  }

  onResponseStart(controller: Controller, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return; // 103, for example: the answer is yet to come.
    this.status = status;
    this.headers = headers;
    const length = headers['content-length'];
    if (length === undefined || Number(length) > SHORT) this.begin(controller);
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (!this.stream) this.chunks.push(chunk);
    else if (!this.stream.push(chunk)) controller.pause();
  }

  onResponseEnd(): void {
    this.controller = undefined; // It holds all that came, and there is nothing left to abort.
    if (this.stream) this.stream.push(null);
    else this.resolve({ status: this.status, headers: this.headers, body: Buffer.concat(this.chunks) });
  }

  onResponseError(_controller: Controller | null, error: Error): void {
    this.fail(error);
  }

  private begin(controller: Controller): void {
    const stream = new Readable({
      read: () => controller.resume(),
      destroy: (error, done) => {
        // Whoever reads no further ends it at the instance, too.
        if (!stream.readableEnded) controller.abort(error ?? new Error('Nobody reads the answer any longer.'));
        done(error);
      },
    });
    // Whoever passes it on notices that it ends early; nobody else has to.
    stream.on('error', () => {});
    this.stream = stream;
    this.resolve({ status: this.status, headers: this.headers, body: stream });
  }

  private fail(reason: Error): void {
    this.stream?.destroy(reason);
    this.reject(reason);
  }
}
