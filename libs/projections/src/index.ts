export * from './projection.js';
export { type Attended, attendedAt, rowAtRest } from './attended.js';
export * from './port.js';
export type { Staleness } from './built-by.js';
export { fold, foldStream, type Folded } from './fold.js';
export { JointCommits } from './joint-commits.js';
export * from './memory.js';
export { forgetOldShown, SHOWN_KEPT_MS } from './shown.js';
export { projector, type ProjectorOptions, waitForPosition } from './projector.js';
