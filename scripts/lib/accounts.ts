/** Who there is at the OpenID provider for development. Nobody has a password: see docs/operations.md#identity. */

import type { Role } from '#service';

export interface Account {
  /** The subject of its tokens: who it is, wherever the shop records that. A customer's is the customer's id. */
  readonly subject: string;
  readonly name: string;
  readonly roles: readonly Role[];
  /** What it may do, for people who choose one. */
  readonly may: string;
}

export const accounts = {
  customer: {
    subject: '4f1f0d7c-5d0b-4b8e-9c55-0f3c1d7a9b2e',
    name: 'Ada',
    roles: ['customer'],
    may: 'Places orders, and sees and cancels her own.',
  },
  other: {
    subject: '9b2d6c1e-3f47-4d0a-8a6b-7e5c4f3d2a10',
    name: 'Ben',
    roles: ['customer'],
    may: 'Another customer, who sees none of the orders of Ada.',
  },
  clerk: {
    subject: 'cleo',
    name: 'Cleo',
    roles: ['clerk'],
    may: 'Sets prices, receives stock, and orders on behalf of customers.',
  },
  operator: {
    subject: 'otto',
    name: 'Otto',
    roles: ['operator'],
    may: 'Looks after the shop: what needs attention, dead letters, the ledger.',
  },
  metrics: {
    subject: 'metrics',
    name: 'Metrics',
    roles: ['service'],
    may: 'A machine that reads metrics.',
  },
} as const satisfies Record<string, Account>;

export type AccountName = keyof typeof accounts;

export const accountNames = Object.keys(accounts) as AccountName[];

/** Machines have a secret, and no page to log in at. */
export const isMachine = ({ roles }: Account) => roles.includes('service');

export function accountOf(subject: string): Account | undefined {
  return accountNames.map((name): Account => accounts[name]).find((each) => each.subject === subject);
}
