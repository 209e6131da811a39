/** Injection tokens of what has no class: the ports, the configuration, the pool of DATABASE_URL, and the definition. */
export const PORTS = Symbol('PORTS');
export const CONFIG = Symbol('CONFIG');
export const DATABASE = Symbol('DATABASE');
export const DEFINITION = Symbol('DEFINITION');
