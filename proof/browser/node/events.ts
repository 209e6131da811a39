/** What the simulation takes of `node:events`, for a browser, which never warns of many listeners. */
export function setMaxListeners(): void {}
