import type { AccessTable } from './access.js';

/** Who may call the routes that every service has. */
export const commonAccess: AccessTable = {
  'GET /health/live': 'anyone',
  'GET /health/ready': 'anyone',
  'GET /metrics': { operator: 'any', service: 'any' },
  // The page tells nothing by itself: it asks for a token, and loads the document with it.
  'GET /docs': 'anyone',
  'GET /docs/start.js': 'anyone',
  'GET /docs/:file': 'anyone',
  'GET /docs-json': { clerk: 'any', operator: 'any', service: 'any' },
  'GET /admin/activity': { operator: 'any', service: 'any' },
  'GET /admin/flow': { operator: 'any' },
  'GET /admin/projections': { operator: 'any' },
  'POST /admin/projections/:name/replays': { operator: 'any' },
  'GET /admin/projections/replays': { operator: 'any' },
  'GET /admin/projections/replays/:id': { operator: 'any' },
  'GET /admin/attention': { operator: 'any' },
  'GET /admin/past-attention': { operator: 'any' },
  'POST /admin/attention/:orderId': { operator: 'any' },
  'GET /admin/stories/:orderId': { clerk: 'any', operator: 'any' },
  'GET /admin/dead-letters': { operator: 'any' },
  'GET /admin/dead-letters/kinds': { operator: 'any' },
  'GET /admin/dead-letters/decisions': { operator: 'any' },
  'POST /admin/dead-letters/retry': { operator: 'any' },
  'POST /admin/dead-letters/skip': { operator: 'any' },
  'POST /admin/dead-letters/:id/retry': { operator: 'any' },
  'POST /admin/dead-letters/:id/skip': { operator: 'any' },
};

/** The table of a service, or of the gateway: its own rows and those that all have. */
export const accessOf = (own: AccessTable): AccessTable => ({ ...commonAccess, ...own });

/** Probes come often, and from one address: they are not limited. */
export const unlimited: ReadonlySet<string> = new Set(['GET /health/live', 'GET /health/ready']);
