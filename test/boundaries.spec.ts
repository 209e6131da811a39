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
  ['apps/order/src/domain/order.ts', "import '#contracts';"],
  ['apps/order/src/domain/order.ts', "import './price.js';"],
  ['apps/inventory/src/domain/stock.ts', "import 'zod';"],
  ['apps/inventory/src/domain/reservation.ts', "import type {} from '#event-store';"],
  ['apps/inventory/src/domain/entry.ts', "import 'node:crypto';"],
  ['apps/payment/src/domain/payment.ts', "import '#runtime';"],
  ['apps/order/src/domain/price.ts', "import '@nestjs/common';"],
  // Reactions, messages and read models import facts, and no machinery.
  ['apps/order/src/messaging/reactions.ts', "import '@nestjs/cqrs';"],
  ['apps/order/src/messaging/reactions.ts', "import './watchdog.js';"],
  ['apps/inventory/src/messaging/messages.ts', "import '#message-bus';"],
  ['apps/payment/src/read-models/payment-summary.ts', "import '../../../prisma/payment/client/client.js';"],
  ['apps/payment/src/read-models/payment-summary.ts', "import '#runtime';"],
  // Frameworks and drivers stay at the edge.
  ['apps/order/src/watchdog.ts', "import '@nestjs/common';"],
  ['apps/order/src/service.ts', "import type {} from '../../../prisma/order/client/client.js';"],
  ['apps/payment/src/simulator/ledger.ts', "import 'pg';"],
  ['apps/order/src/service.ts', "import 'kafkajs';"],
  ['apps/payment/src/service.ts', "import 'cockatiel';"],
  ['apps/payment/src/provider-guard.ts', "import '@nestjs/common';"],
  ['libs/decider/src/decider.ts', "import '@nestjs/common';"],
  ['libs/event-store/src/transactor.ts', "import 'pg';"],
  ['libs/event-store/src/port.ts', "import '@kurrent/kurrentdb-client';"],
  ['libs/message-bus/src/relay.ts', "import 'kafkajs';"],
  ['libs/projections/src/fold.ts', "import '@prisma/client';"],
  ['libs/contracts/src/order.ts', "import '@nestjs/swagger';"],
  ['libs/runtime/src/ports.ts', "import 'pg';"],
  // A service never imports another, and a library knows no service.
  ['apps/order/src/watchdog.ts', "import '../../inventory/src/stock.js';"],
  ['apps/order/src/http/order.handlers.ts', "import '../../inventory/src/stock.js';"],
  ['apps/order/src/http/order.dto.ts', "import type {} from '../../../prisma/payment/client/client.js';"],
  ['apps/inventory/src/http/inventory.module.ts', "import '../../payment/src/payment.js';"],
  ['apps/payment/src/http/payment.controller.ts', "import '../../order/src/order.js';"],
  ['apps/payment/src/simulator/ledger.ts', "import '../../../order/src/order.js';"],
  ['libs/nest/src/boot/boot.ts', "import '../../../apps/order/src/domain/order.js';"],
  ['libs/projections/src/postgres/tables.ts', "import '../../../prisma/order/client/client.js';"],
  // The client goes into browsers.
  ['libs/client/src/index.ts', "import '#runtime';"],
  ['libs/client/src/index.ts', "import 'node:fs';"],
  ['libs/client/src/index.ts', 'process.exit();'],
  // Time, ids and chance come from #runtime.
  ['apps/order/src/watchdog.ts', 'Date.now();'],
  ['apps/payment/src/cashier.ts', 'setTimeout(() => {}, 1);'],
  ['apps/payment/src/cashier.ts', 'setInterval(() => {}, 1);'],
  ['libs/nest/src/boot/boot.ts', 'performance.now();'],
  ['libs/event-store/src/postgres/event-store.ts', 'Math.random();'],
  ['libs/message-bus/src/memory.ts', 'crypto.randomUUID();'],
  ['apps/order/src/service.ts', "import { randomUUID } from 'node:crypto'; randomUUID();"],
  ['libs/message-bus/src/relay.ts', "import 'node:timers/promises';"],
];

/** What is meant to stand there: a wall that stops this is in the wrong place. */
const allowed: [file: string, code: string][] = [
  ['apps/order/src/domain/order.ts', "import '#decider';"],
  ['apps/order/src/domain/order.spec.ts', "import 'fast-check';"],
  ['apps/order/src/messaging/reactions.ts', "import '#contracts'; import './order.js';"],
  ['apps/order/src/read-models/order-summary.ts', "import '#projections'; import '../order.js';"],
  ['apps/order/src/http/order.handlers.ts', "import '@nestjs/cqrs'; import '../../../prisma/order/client/client.js';"],
  ['apps/order/src/http/order.module.ts', "import 'pg';"],
  ['apps/payment/src/provider-guard.ts', "import 'cockatiel';"],
  ['libs/event-store/src/postgres/event-store.ts', "import 'pg';"],
  ['libs/event-store/src/kurrentdb/event-store.ts', "import '@kurrent/kurrentdb-client';"],
  ['libs/message-bus/src/kafka/message-bus.ts', "import 'kafkajs';"],
  ['libs/runtime/src/system.ts', "import { randomUUID } from 'node:crypto'; randomUUID(); Math.random();"],
];

/** `<file>:<line>` of everything that the linter finds in a folder and that no wall allows. */
function breaches(folder: string): string[] {
  const { stdout, stderr } = spawnSync(join(ROOT, 'node_modules/.bin/oxlint'), ['--format=json', 'apps', 'libs'], {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  if (!stdout.startsWith('{')) throw new Error(`oxlint failed: ${stdout}${stderr}`);
  const { diagnostics } = JSON.parse(stdout) as {
    diagnostics: { filename: string; code: string; labels: { span: { line: number } }[] }[];
  };
  return diagnostics
    .filter(({ code }) => code.includes('no-restricted-'))
    .map(({ filename, labels }) => `${filename}:${labels[0]!.span.line}`);
}

/** A house of these lines: those about one file stand in it one below the other. Returns where each stands. */
function build(folder: string, lines: readonly [file: string, code: string][]): string[] {
  copyFileSync(join(ROOT, '.oxlintrc.json'), join(folder, '.oxlintrc.json'));
  const files = new Map<string, string[]>();
  const places = lines.map(([file, code]) => {
    const content = files.get(file) ?? [];
    files.set(file, [...content, code]);
    return `${file}:${content.length + 1}`;
  });
  for (const [file, content] of files) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), content.join('\n'));
  }
  return places;
}

describe('the linter', () => {
  const houses = { forbidden: '', allowed: '' };
  let found: string[];
  let places: string[];
  beforeAll(() => {
    houses.forbidden = mkdtempSync(join(tmpdir(), 'larder-walls-'));
    houses.allowed = mkdtempSync(join(tmpdir(), 'larder-walls-'));
    places = build(houses.forbidden, forbidden);
    found = breaches(houses.forbidden);
  });
  afterAll(() => Object.values(houses).forEach((folder) => rmSync(folder, { recursive: true, force: true })));

  test.each(forbidden.map(([file, code], i) => [file, code, i] as const))('refuses in %s: %s', (_file, _code, i) => {
    expect(found).toContain(places[i]);
  });

  test('allows what is meant to be', () => {
    build(houses.allowed, allowed);
    expect(breaches(houses.allowed)).toEqual([]);
  });

  test('finds every wall of this house unbroken', () => {
    expect(breaches(ROOT)).toEqual([]);
  });
});

test('nothing reads the time but the clock', () => {
  const readers = ['apps', 'libs']
    .flatMap((folder) =>
      readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((f) => join(folder, f)),
    )
    .filter((file) => file.endsWith('.ts') && !/\.spec\.ts$|contract\.ts$/.test(file))
    .filter((file) => readFileSync(join(ROOT, file), 'utf8').includes('new Date()'));
  expect(readers).toEqual(['libs/runtime/src/system.ts']);
});
