import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  ssr: { resolve: { conditions: ['source', 'node'] } },
  oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
  test: {
    include: ['{apps,libs,test,scripts,proof,labs,bench}/**/*.spec.ts'],
    globalSetup: ['test/support/postgres.ts'],
    // Many files wait for servers and processes more than they compute.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    // Longer than what a test waits for by itself: that says what has not happened.
    testTimeout: 90_000,
    // Most open a shop, or close one.
    hookTimeout: 60_000,
    // A condition that is waited for may take long on a machine that others use.
    expect: { poll: { timeout: 10_000 } },
  },
});
