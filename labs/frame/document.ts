/** docs/patterns.md, from labs/results.json and from nothing else that a run finds out. */
import { readFileSync } from 'node:fs';
import { TAKEN, type Verdict } from './judge.js';
import { type Killed, RESTART_MS } from './kills.js';
import { quantile } from './load.js';
import { type LabResult, over, type WayResult } from './measure.js';
import type { Lab, Table, Way } from './way.js';

export interface Results {
  /** `2 cores, Linux, Node 20.20.2` */
  readonly machine: string;
  readonly rounds: number;
  readonly orders: number;
  readonly seed: number;
  readonly labs: readonly LabResult[];
}

/** What is written by hand stands above it. */
export const MARK = '<!-- `npm run labs` writes what follows -->';

export function patterns(results: Results, labs: readonly Lab[]): string {
  const { machine, rounds, orders, seed } = results;
  const found = labs.flatMap((lab) => {
    const result = results.labs.find(({ name }) => name === lab.name);
    return result ? [{ lab, result }] : [];
  });
  const compared = (head: readonly string[], cells: (way: WayResult, of: Way) => readonly string[]) =>
    tableOf({
      head: ['lab', 'way', ...head],
      rows: found.flatMap(({ lab, result }) =>
        result.ways.map((way, i) => [
          `[${lab.title}](#${lab.title.toLowerCase().replaceAll(' ', '-')})`,
          way.wrong ? `${way.name} (**wrong**)` : way.name,
          ...cells(way, lab.ways[i]!),
        ]),
      ),
    });
  return [
    MARK,
    '## Compared',
    `${rounds} rounds of ${orders} orders by eight customers at once, the ways in turn, seed ${seed}; ${machine}. Medians over the rounds, and in brackets the least and the most.`,
    '### Speed',
    compared(SPEED, speed),
    '### What breaks under load',
    'The worst of the rounds.',
    compared(BREAKS, breaks),
    '### What a kill does',
    `A process is killed before and after each step that changes anything outside of it. Another one is there after ${RESTART_MS / 1_000} s, which is part of all times here, and recovers.`,
    compared(KILLED, killed),
    '### What it takes',
    compared(TAKES, takes),
    ...found.flatMap(({ lab, result }) => [
      `## ${lab.title}`,
      `[The lab](../labs/${lab.name}/README.md): \`npm run lab -- ${lab.name}\`.`,
      `![${lab.title}: who waits for whom](../labs/${lab.name}/picture.svg)`,
      '### Every kill',
      ...everyKill(result),
      ...result.tables.flatMap((table) => [`### ${table.title}`, tableOf(table)]),
    ]),
    '',
  ].join('\n\n');
}

/** One table for all ways that end alike. */
function everyKill({ ways }: LabResult): string[] {
  const names = new Map<string, string[]>();
  for (const way of ways) {
    const table = tableOf(kills(way));
    names.set(table, [...(names.get(table) ?? []), nameOf(way)]);
  }
  return [...names].map(([table, alike]) => `${alike.join('; ')}:\n\n${table}`);
}

const nameOf = ({ name, wrong }: Pick<WayResult, 'name' | 'wrong'>) => (wrong ? `${name} (**wrong**: ${wrong})` : name);

const SPEED = ['orders/s', 'p50, ms', 'p99, ms', 'held undecided, ms: median', 'worst', 'memory, MB'];

function speed({ rounds }: WayResult): string[] {
  const cell = (of: Parameters<typeof over>[1], digits = 0) => {
    const { median, least, most } = over(rounds, of);
    return `${median.toFixed(digits)} (${least.toFixed(digits)}–${most.toFixed(digits)})`;
  };
  const memory = rounds.flatMap(({ memoryMb }) => memoryMb ?? []);
  return [
    cell(({ perSecond }) => perSecond),
    cell(({ p50Ms }) => p50Ms, 1),
    cell(({ p99Ms }) => p99Ms, 1),
    cell(({ heldMs }) => heldMs.median, 1),
    cell(({ heldMs }) => heldMs.worst, 1),
    memory.length > 0 ? Math.max(...memory).toFixed(0) : 'not known here',
  ];
}

const BREAKS = [
  'broken orders',
  'units oversold',
  'completed and not paid',
  'money held or taken for nothing',
  'without an end',
  'left to a person',
  'states that a bystander could see',
];

function breaks({ rounds, seen }: WayResult): string[] {
  const most = (of: (verdict: Verdict) => number) => `${Math.max(...rounds.map(({ verdict }) => of(verdict)))}`;
  return [
    most(({ broken }) => broken),
    most(({ oversold }) => oversold),
    most(({ moneyLost }) => moneyLost),
    most(({ moneyTaken }) => moneyTaken),
    most(({ withoutEnd }) => withoutEnd),
    most(({ leftToPerson }) => leftToPerson),
    `${seen.length}`,
  ];
}

const KILLED = [
  'kills',
  'orders in doubt',
  's until decided: median',
  'worst',
  'units held',
  's until decided: median',
  'worst',
  'others wait',
  'broken after recovery',
  'of which money held or taken for nothing',
];

function killed({ kills, broken }: WayResult): string[] {
  const count = (of: (kill: Killed) => boolean) => `${kills.filter(of).length}`;
  const seconds = (of: readonly Killed[]) => {
    const [median, worst] = [0.5, 1].map(
      (share) =>
        quantile(
          of.map(({ decidedMs }) => decidedMs),
          share,
        ) / 1_000,
    );
    return of.length > 0 ? [median!.toFixed(2), worst!.toFixed(2)] : ['–', '–'];
  };
  const held = kills.filter((each) => each.held !== 'no');
  const [median, worst] = seconds(held);
  return [
    `${kills.length}`,
    count(({ inDoubt }) => inDoubt),
    ...seconds(kills.filter(({ inDoubt }) => inDoubt)),
    `${held.length}`,
    median!,
    held.some((each) => each.held === 'for ever') ? 'for ever' : worst!,
    count(({ othersWait }) => othersWait),
    `${broken}`,
    count(({ wrong }) => wrong.some(({ kind }) => TAKEN.includes(kind))),
  ];
}

const TAKES = ['has to be up for an order to be taken', 'has to be installed or allowed', 'lines of code'];

const takes = (_: WayResult, way: Way): string[] => [way.needs, way.installs, `${linesOf(way)}`];

function kills({ kills }: WayResult): Omit<Table, 'title'> {
  const head = ['killed', 'then', 'others', 'after recovery', 'verdict'];
  const rows = kills.map(({ step, moment, left, othersWait, end, wrong }) => [
    `${moment} “${step}”`,
    left,
    othersWait ? 'wait' : 'buy',
    end,
    wrong.length === 0 ? 'ok' : '**broken**',
  ]);
  return { head, rows };
}

/** Lines of the way's file that are neither empty nor comments; ways that share a file share the number. */
function linesOf({ file }: Way): number {
  const lines = readFileSync(`labs/${file}`, 'utf8').split('\n');
  return lines.filter((line) => line.trim() !== '' && !/^\s*(\/\/|\/?\*)/.test(line)).length;
}

const tableOf = ({ head, rows }: Omit<Table, 'title'>) =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
