export * from './projection.js';
export * from './port.js';
export type { Staleness } from './built-by.js';
export { fold, foldStream, type Folded } from './fold.js';
export * from './memory.js';
export { PostgresTables } from './postgres/tables.js';
export { projector, type ProjectorOptions, waitForPosition } from './projector.js';
export {
  compareWithEvents,
  type Compared,
  rebuild,
  type Rebuilt,
  rollBack,
  type RolledBack,
} from './postgres/rebuild.js';
export {
  RebuildFailed,
  type RebuildOptions,
  type RebuildProgress,
  RebuildRefused,
  RebuildUnderWay,
} from './postgres/rebuild-run.js';
export { buildAsOf, type BuiltAsOf } from './postgres/as-of.js';
export type { RowDifference } from './postgres/compare.js';
