export * from './ports.js';
export * from './config.js';
export * from './definition.js';
export * from './run.js';
export * from './access.js';
export * from './seal.js';
export * from './attention.js';
export * from './free-text.js';
export { type HoldRow, type Holds, holdsWithoutVerdict } from './holds.js';
