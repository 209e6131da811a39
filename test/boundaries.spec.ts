/** The inner walls of the house, which the linter holds: each is tried with a file that breaks it. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const ROOT = resolve(import.meta.dirname, '..');
const FOLDERS = ['apps', 'libs', 'scripts', 'proof', 'labs'];

/** Where a line of code must not stand. Files named `new-…` do not exist: the walls go by folder. */
const forbidden: [file: string, code: string][] = [
  // A decider imports #decider and nothing else.
  ['apps/order/src/domain/order.ts', "import '#contracts';"],
  ['apps/order/src/domain/order.ts', "import './price.js';"],
  ['apps/inventory/src/domain/stock.ts', "import 'zod';"],
  ['apps/inventory/src/domain/reservation.ts', "import type {} from '#event-store';"],
  ['apps/inventory/src/domain/new-aggregate.ts', "import 'node:crypto';"],
  ['apps/payment/src/domain/new-aggregate.ts', "import '#runtime';"],
  ['apps/new-service/src/domain/new-aggregate.ts', "import '@nestjs/common';"],
  // Reactions, messages and read models import deciders and contracts, and no machinery.
  ['apps/order/src/messaging/reactions.ts', "import '@nestjs/cqrs';"],
  ['apps/order/src/messaging/reactions.ts', "import '../watchdog.js';"],
  ['apps/inventory/src/messaging/messages.ts', "import '#message-bus';"],
  ['apps/new-service/src/messaging/new-reaction.ts', "import '#service';"],
  ['apps/payment/src/read-models/payment-summary.ts', "import '../../../prisma/payment/client/client.js';"],
  ['apps/payment/src/read-models/new-read-model.ts', "import '#runtime';"],
  ['apps/new-service/src/read-models/new-read-model.ts', "import 'pg';"],
  // Frameworks and drivers stay at the edge.
  ['apps/order/src/watchdog.ts', "import '@nestjs/common';"],
  ['apps/order/src/service.ts', "import type {} from '../../../prisma/order/client/client.js';"],
  ['apps/payment/src/simulator/ledger.ts', "import 'pg';"],
  ['apps/order/src/service.ts', "import 'kafkajs';"],
  ['apps/order/src/service.ts', "import '#nest';"],
  ['apps/order/src/service.ts', "import '#event-store/postgres';"],
  ['apps/order/src/definition.ts', "import '#service/adapters';"],
  ['apps/payment/src/service.ts', "import 'cockatiel';"],
  ['apps/payment/src/provider-guard.ts', "import '@nestjs/common';"],
  ['libs/decider/src/decider.ts', "import '@nestjs/common';"],
  ['libs/event-store/src/transactor.ts', "import 'pg';"],
  ['libs/event-store/src/port.ts', "import '@kurrent/kurrentdb-client';"],
  ['libs/message-bus/src/relay.ts', "import 'kafkajs';"],
  ['libs/projections/src/fold.ts', "import '@prisma/client';"],
  ['libs/runtime/src/ports.ts', "import 'pg';"],
  ['libs/service/src/run.ts', "import '@nestjs/common';"],
  ['libs/service/src/run.ts', "import '#runtime/postgres';"],
  // The contracts are a leaf.
  ['libs/contracts/src/order.ts', "import '@nestjs/swagger';"],
  ['libs/contracts/src/new-topic.ts', "import '#message-bus';"],
  // A service never imports another, and a library knows no service.
  ['apps/order/src/watchdog.ts', "import '../../inventory/src/domain/stock.js';"],
  ['apps/order/src/http/order.handlers.ts', "import '../../../inventory/src/domain/stock.js';"],
  ['apps/new-service/src/http/new.controller.ts', "import '../../../order/src/domain/order.js';"],
  ['apps/payment/src/simulator/ledger.ts', "import '../../../order/src/domain/order.js';"],
  ['libs/nest/src/boot/boot.ts', "import '../../../../apps/order/src/domain/order.js';"],
  ['libs/projections/src/postgres/tables.ts', "import '../../../prisma/order/client/client.js';"],
  ['libs/projections/src/postgres/tables.ts', "import '../../../event-store/src/tail.js';"],
  // The client goes into browsers.
  ['libs/client/src/index.ts', "import '#runtime';"],
  ['libs/client/src/index.ts', "import 'node:fs';"],
  ['libs/client/src/index.ts', 'process.exit();'],
  // So does the console, which knows of the shop what the gateway answers, and takes text for text.
  ['apps/console/src/gateway.ts', "import 'node:fs';"],
  ['apps/console/src/gateway.ts', "import '../../gateway/src/definition.js';"],
  ['apps/console/src/pages/orders.tsx', "import '../../../order/src/domain/order.js';"],
  ['apps/console/src/pages/new-page.tsx', "import '#runtime';"],
  ['apps/console/src/pages/new-page.tsx', "import 'zod';"],
  ['apps/console/src/new-part.tsx', "import '@nestjs/common';"],
  ['apps/console/src/new-part.tsx', 'process.exit();'],
  ['apps/console/src/new-part.tsx', "document.body.innerHTML = '';"],
  ['apps/console/src/new-part.tsx', "export const part = <p dangerouslySetInnerHTML={{ __html: '' }} />;"],
  // What ships imports no test machinery, and no proof.
  ['apps/order/src/service.ts', "import '#runtime/testing';"],
  ['apps/order/src/http/order.controller.ts', "import '#test/shop';"],
  ['libs/message-bus/src/consumer.ts', "import '../../../proof/interruptible.js';"],
  ['scripts/new-command.ts', "import '../proof/simulation/world.js';"],
  ['scripts/lib/new-helper.ts', "import '#test/shop';"],
  // Nothing imports a lab.
  ['apps/order/src/service.ts', "import '../../../labs/frame/watch.js';"],
  ['apps/order/src/http/order.controller.ts', "import '../../../../labs/frame/watch.js';"],
  ['libs/runtime/src/postgres/connection.ts', "import '../../../../labs/frame/books.js';"],
  ['scripts/new-command.ts', "import '../labs/catalogue.js';"],
  ['proof/new-proof.ts', "import '../labs/catalogue.js';"],
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
  ['apps/order/src/domain/order.spec.ts', "import 'fast-check'; import '#decider/scenario';"],
  ['apps/order/src/messaging/reactions.ts', "import '#contracts'; import '../domain/order.js';"],
  ['apps/order/src/read-models/order-summary.ts', "import '#projections'; import '../domain/order.js';"],
  ['apps/order/src/service.ts', "import '#service'; import './watchdog.js';"],
  ['apps/order/src/http/order.handlers.ts', "import '@nestjs/cqrs'; import '../../../prisma/order/client/client.js';"],
  ['apps/order/src/http/order.module.ts', "import 'pg'; import '#nest';"],
  ['apps/payment/src/provider-guard.ts', "import 'cockatiel';"],
  ['apps/payment/src/simulator/postgres-ledger.ts', "import 'pg';"],
  ['libs/client/src/index.ts', "import '#contracts'; import './generated/order.js';"],
  ['apps/console/src/pages/new-page.tsx', "import '#client'; import 'preact'; import '../../../gateway/src/api.js';"],
  [
    'apps/console/src/live.ts',
    "import '@preact/signals'; import '../../gateway/src/api.js'; setInterval(() => {}, 1);",
  ],
  ['libs/event-store/src/postgres/event-store.ts', "import 'pg'; import '#runtime/postgres';"],
  ['libs/event-store/src/kurrentdb/event-store.ts', "import '@kurrent/kurrentdb-client';"],
  ['libs/message-bus/src/kafka/message-bus.ts', "import 'kafkajs';"],
  ['libs/runtime/src/system.ts', "import { randomUUID } from 'node:crypto'; randomUUID(); Math.random();"],
  ['proof/new-proof.ts', "import '../scripts/replay.js';"],
  ['labs/new-lab/lab.ts', "import '../frame/way.js'; import '../../apps/order/src/domain/order.js'; import 'pg';"],
];

/** `<file>:<line>` of everything that the linter finds in a folder and that no wall allows. */
function breaches(folder: string): string[] {
  const { stdout, stderr } = spawnSync(join(ROOT, 'node_modules/.bin/oxlint'), ['--format=json', ...FOLDERS], {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  if (!stdout.startsWith('{')) throw new Error(`oxlint failed: ${stdout}${stderr}`);
  const { diagnostics } = JSON.parse(stdout) as {
    diagnostics: { filename: string; code: string; labels: { span: { line: number } }[] }[];
  };
  return diagnostics
    .filter(({ code }) => /no-(restricted-|danger)/.test(code))
    .map(({ filename, labels }) => `${filename}:${labels[0]!.span.line}`);
}

/** A house of these lines: those about one file stand in it one below the other. Returns where each stands. */
function build(folder: string, lines: readonly [file: string, code: string][]): string[] {
  copyFileSync(join(ROOT, '.oxlintrc.json'), join(folder, '.oxlintrc.json'));
  for (const each of FOLDERS) mkdirSync(join(folder, each), { recursive: true });
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

  test('allows the intended imports', () => {
    build(houses.allowed, allowed);
    expect(breaches(houses.allowed)).toEqual([]);
  });

  test('finds no violation in this repository', () => {
    expect(breaches(ROOT)).toEqual([]);
  });
});

/** Every source file of these folders, without specs, by its path. */
function sourcesIn(...folders: string[]): string[] {
  return folders
    .flatMap((folder) =>
      readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((f) => join(folder, f)),
    )
    .filter((file) => file.endsWith('.ts') && !/\.spec\.ts$|contract\.ts$/.test(file));
}

const textOf = (file: string) => readFileSync(join(ROOT, file), 'utf8');

test('only the clock reads the time', () => {
  const readers = sourcesIn('apps', 'libs').filter((file) => textOf(file).includes('new Date()'));
  expect(readers).toEqual(['libs/runtime/src/system.ts']);
});

test('only one class connects to Postgres, and it makes every session UTC', () => {
  const connecting = /\bnew pg\.(Client|Pool)\(|\bnew PrismaPg\(\{/;
  const places = sourcesIn('apps', 'libs', 'scripts', 'proof', 'labs').filter((file) => connecting.test(textOf(file)));
  expect(places).toEqual(['libs/runtime/src/postgres/connection.ts']);
});

/** The service whose Prisma client a file imports, where that is not the file's own. */
function foreignDatabase(file: string, text: string): string | undefined {
  const [, own] = /^apps\/([^/]+)\//.exec(file) ?? [];
  return [...text.matchAll(/\/prisma\/([^/']+)\//g)].map(([, service]) => service).find((service) => service !== own);
}

test('a service reads only its own database', () => {
  const line = "import { PrismaClient } from '../../../prisma/order/client/client.js';";
  expect(foreignDatabase('apps/payment/src/http/payment.module.ts', line)).toBe('order');
  expect(sourcesIn('apps').filter((file) => foreignDatabase(file, textOf(file)) !== undefined)).toEqual([]);
});

/** The packages that an import of `#name` loads: what its index imports, and what that imports, types left out. */
function packagesLoadedBy(name: string): string[] {
  const { imports } = JSON.parse(textOf('package.json')) as { imports: Record<string, { source: string }> };
  const seen = new Set<string>();
  const packages = new Set<string>();
  const visit = (file: string) => {
    if (seen.has(file)) return;
    seen.add(file);
    const statements = textOf(file).matchAll(/^(?:import|export)\s+(?!type\b)(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm);
    for (const [, specifier] of statements) {
      if (specifier!.startsWith('.')) visit(join(dirname(file), specifier!).replace(/\.js$/, '.ts'));
      else if (imports[specifier!]) visit(imports[specifier!]!.source.slice(2));
      else packages.add(specifier!);
    }
  };
  visit(imports[name]!.source.slice(2));
  return [...packages].filter((each) => !each.startsWith('node:')).sort();
}

test('the index of a library loads no driver and no framework', () => {
  expect(packagesLoadedBy('#decider')).toEqual([]);
  expect(packagesLoadedBy('#contracts')).toEqual(['zod']);
  const drivers = /^(pg|kafkajs|@kurrent|@nestjs|@prisma|fastify)(\/|$)/;
  for (const name of ['#runtime', '#event-store', '#message-bus', '#projections', '#service']) {
    expect(
      packagesLoadedBy(name).filter((each) => drivers.test(each)),
      name,
    ).toEqual([]);
  }
  expect(packagesLoadedBy('#event-store/postgres')).toContain('pg');
});
