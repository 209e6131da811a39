/** The inner walls of the house, which the linter holds: each is tried with a file that breaks it. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const ROOT = resolve(import.meta.dirname, '..');

/** Where a line of code must not stand. */
const forbidden: [file: string, code: string][] = [
  // A decider imports #decider and nothing else.
  ['apps/order/src/order.ts', "import '#contracts';"],
  ['apps/order/src/order.ts', "import './price.js';"],
  ['apps/inventory/src/stock.ts', "import 'zod';"],
  ['apps/inventory/src/reservation.ts', "import type {} from '#event-store';"],
  ['apps/inventory/src/entry.ts', "import 'node:crypto';"],
  ['apps/payment/src/payment.ts', "import '#runtime';"],
  ['apps/order/src/price.ts', "import '@nestjs/common';"],
  // Reactions, messages and read models import facts, and no machinery.
  ['apps/order/src/checkout.ts', "import '@nestjs/cqrs';"],
  ['apps/order/src/checkout.ts', "import './watchdog.js';"],
  ['apps/inventory/src/messages.ts', "import '#message-bus';"],
  ['apps/payment/src/read-models/payment-summary.ts', "import '../../../../prisma/payment/client/client.js';"],
  ['apps/payment/src/read-models/payment-summary.ts', "import '#runtime';"],
  // Frameworks and drivers stay at the edge.
  ['apps/order/src/watchdog.ts', "import '@nestjs/common';"],
  ['apps/order/src/service.ts', "import type {} from '../../../prisma/order/client/client.js';"],
  ['apps/payment/src/simulator/ledger.ts', "import 'pg';"],
  ['apps/order/src/service.ts', "import 'kafkajs';"],
  ['libs/decider/src/decider.ts', "import '@nestjs/common';"],
  ['libs/event-store/src/transactor.ts', "import 'pg';"],
  ['libs/event-store/src/port.ts', "import '@kurrent/kurrentdb-client';"],
  ['libs/message-bus/src/relay.ts', "import 'kafkajs';"],
  ['libs/projections/src/fold.ts', "import '@prisma/client';"],
  ['libs/contracts/src/order.ts', "import '@nestjs/swagger';"],
  ['libs/runtime/src/ports.ts', "import 'pg';"],
  // A service never imports another, and a library knows no service.
  ['apps/order/src/watchdog.ts', "import '../../inventory/src/stock.js';"],
  ['apps/order/src/order.handlers.ts', "import '../../inventory/src/stock.js';"],
  ['apps/order/src/order.dto.ts', "import type {} from '../../../prisma/payment/client/client.js';"],
  ['apps/inventory/src/inventory.module.ts', "import '../../payment/src/payment.js';"],
  ['apps/payment/src/payment.controller.ts', "import '../../order/src/order.js';"],
  ['apps/payment/src/simulator/ledger.ts', "import '../../../order/src/order.js';"],
  ['libs/service/src/boot.ts', "import '../../../apps/order/src/order.js';"],
  ['libs/projections/src/postgres.ts', "import '../../../prisma/order/client/client.js';"],
  // Time, ids and chance come from #runtime.
  ['apps/order/src/watchdog.ts', 'Date.now();'],
  ['apps/payment/src/cashier.ts', 'setTimeout(() => {}, 1);'],
  ['apps/payment/src/cashier.ts', 'setInterval(() => {}, 1);'],
  ['libs/service/src/boot.ts', 'performance.now();'],
  ['libs/event-store/src/postgres.ts', 'Math.random();'],
  ['libs/message-bus/src/memory.ts', 'crypto.randomUUID();'],
  ['apps/order/src/service.ts', "import { randomUUID } from 'node:crypto'; randomUUID();"],
  ['libs/message-bus/src/relay.ts', "import 'node:timers/promises';"],
];

/** What is meant to stand there: a wall that stops this is in the wrong place. */
const allowed: [file: string, code: string][] = [
  ['apps/order/src/order.ts', "import '#decider';"],
  ['apps/order/src/order.spec.ts', "import 'fast-check';"],
  ['apps/order/src/checkout.ts', "import '#contracts'; import './order.js';"],
  ['apps/order/src/read-models/order-summary.ts', "import '#projections'; import '../order.js';"],
  ['apps/order/src/order.handlers.ts', "import '@nestjs/cqrs'; import '../../../prisma/order/client/client.js';"],
  ['apps/order/src/order.module.ts', "import 'pg';"],
  ['libs/event-store/src/postgres.ts', "import 'pg';"],
  ['libs/event-store/src/kurrentdb.ts', "import '@kurrent/kurrentdb-client';"],
  ['libs/message-bus/src/kafka.ts', "import 'kafkajs';"],
  ['libs/runtime/src/system.ts', "import { randomUUID } from 'node:crypto'; randomUUID(); Math.random();"],
];

interface Finding {
  readonly filename: string;
  readonly code: string;
  readonly message: string;
}

/** What the linter finds in a folder about imports, globals and properties that are not allowed there. */
function lint(folder: string): Finding[] {
  const { stdout, stderr } = spawnSync(join(ROOT, 'node_modules/.bin/oxlint'), ['--format=json', 'apps', 'libs'], {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  if (!stdout.startsWith('{')) throw new Error(`oxlint failed: ${stdout}${stderr}`);
  const { diagnostics } = JSON.parse(stdout) as { diagnostics: Finding[] };
  return diagnostics.filter(({ code }) => code.includes('no-restricted-'));
}

describe('in a house of their own', () => {
  let folder: string;
  let findings: Finding[];
  const houseOf = (list: typeof forbidden, i: number) => `${list === forbidden ? 'forbidden' : 'allowed'}-${i}`;

  beforeAll(() => {
    // Each line gets a file: several about one file stand in copies of the house, all linted at once.
    folder = mkdtempSync(join(tmpdir(), 'larder-walls-'));
    for (const list of [forbidden, allowed]) {
      list.forEach(([file, code], i) => {
        const path = join(folder, houseOf(list, i), file);
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, `${code}\n`);
      });
    }
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
});
