import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** One project per kind of ground a test stands on: `unit` and `simulation` need nothing, `kernel` needs root and network
 * namespaces, `cluster` needs the built control plane. `npm run check` runs the first, and the simulation's seeds. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          // A property of some seconds takes a multiple where others use the machine; only what hangs is wrong.
          testTimeout: 60_000,
          // Vitest would leave one of two processors idle, and the quick loop is to be quick.
          maxWorkers: availableParallelism(),
          include: [
            '{policy,kube,runtime,webhook,failover,certs,cli,bench}/**/*.test.ts',
            'test/house/**/*.test.ts',
            'test/unit/**/*.test.ts',
          ],
          exclude: ['**/*.kernel.test.ts', '**/node_modules/**'],
        },
      },
      {
        test: {
          name: 'simulation',
          include: ['test/simulation/**/*.test.ts'],
        },
      },
      {
        test: {
          name: 'kernel',
          include: ['**/*.kernel.test.ts'],
          exclude: ['**/node_modules/**'],
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'cluster',
          include: ['test/{scenarios,contract,charts,chaos,image}/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
});
