export { PostgresTables } from './tables.js';
export { compareWithEvents, type Compared, rebuild, type Rebuilt, rollBack, type RolledBack } from './rebuild.js';
export {
  RebuildFailed,
  type RebuildOptions,
  type RebuildProgress,
  RebuildRefused,
  RebuildUnderWay,
} from './rebuild-run.js';
export { buildAsOf, type BuiltAsOf } from './as-of.js';
export type { RowDifference } from './compare.js';
export { previousTable, type Replay, type ReplayAction, Replays } from './replays.js';
