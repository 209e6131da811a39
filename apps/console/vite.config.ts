import { defineConfig } from 'vite';

export default defineConfig({
  base: '/console/',
  resolve: { conditions: ['source'] },
  build: {
    outDir: '../../dist/apps/console',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // What is bundled passes on its licences with it.
    license: { fileName: 'licenses.md' },
  },
});
