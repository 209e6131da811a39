export * from './projection.js';
export * from './port.js';
export { fold, foldStream, type Folded } from './fold.js';
export * from './memory.js';
export { PostgresTables } from './postgres.js';
export { projector, type ProjectorOptions, waitForPosition } from './projector.js';
export { rebuild, RebuildUnderWay, type Rebuilt, type RebuildOptions, type RebuildProgress } from './rebuild.js';
