import { type CanActivate, type ExecutionContext, Inject, Injectable, type RawBodyRequest } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { CONFIG, PORTS, Problem, takeBack } from '#nest';
import type { ServicePorts } from '#service';
import { SIGNATURE_HEADER, verify } from '../webhook.js';

/** Lets a webhook in whose bytes the provider has signed, before anything of it is looked at. */
@Injectable()
export class SignedByProvider implements CanActivate {
  constructor(
    @Inject(PORTS) private readonly ports: ServicePorts,
    @Inject(CONFIG) private readonly config: { WEBHOOK_SECRET: readonly string[] },
  ) {}

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<RawBodyRequest<FastifyRequest>>();
    const header = request.headers[SIGNATURE_HEADER];
    const body = request.rawBody ?? '';
    const verdict = verify(body, [header].flat()[0], this.config.WEBHOOK_SECRET, this.ports.clock.now());
    if (verdict === 'ok') {
      takeBack(request);
      return true;
    }
    throw new Problem(401, `signature-${verdict}`, `The signature of this webhook is ${verdict}.`);
  }
}
