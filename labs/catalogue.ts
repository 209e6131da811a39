/** The labs, a line each: every command, document and spec of labs/ reads this. */
import type { Lab } from './frame/way.js';
import { oneDatabase } from './one-database/lab.js';
import { twoPhaseCommit } from './two-phase-commit/lab.js';

export const labs: readonly Lab[] = [oneDatabase, twoPhaseCommit];
