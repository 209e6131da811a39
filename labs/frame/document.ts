/** docs/patterns.md, from labs/results.json and from nothing else that a run finds out. */
import { readFileSync } from 'node:fs';
import { TAKEN } from './judge.js';
import { brokenBy, type LabResult, over, type WayResult } from './measure.js';
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
  return [
    MARK,
    `${rounds} rounds of ${orders} orders by eight customers at once, the ways in turn, seed ${seed}; ${machine}. Medians over the rounds, and in brackets the least and the most.`,
    ...found.flatMap(({ lab, result }) => [
      `## ${lab.title}`,
      `[The lab](../labs/${lab.name}/README.md): \`npm run lab -- ${lab.name}\`.`,
      `![${lab.title}: who waits for whom](../labs/${lab.name}/picture.svg)`,
      '### Speed',
      tableOf(speed(result)),
      '### What breaks',
      tableOf(breaks(result)),
      '### What it takes',
      tableOf(takes(lab)),
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

/** Figures under load. */
function speed({ ways }: LabResult): Omit<Table, 'title'> {
  const head = ['way', 'orders/s', 'p50, ms', 'p99, ms', 'held undecided, ms: median', 'worst'];
  const rows = ways.map((way) => {
    const cell = (of: Parameters<typeof over>[1], digits = 0) => {
      const { median, least, most } = over(way.rounds, of);
      return `${median.toFixed(digits)} (${least.toFixed(digits)}–${most.toFixed(digits)})`;
    };
    return [
      way.wrong ? `${way.name} (**wrong**)` : way.name,
      cell(({ perSecond }) => perSecond),
      cell(({ p50Ms }) => p50Ms, 1),
      cell(({ p99Ms }) => p99Ms, 1),
      cell(({ heldMs }) => heldMs.median, 1),
      cell(({ heldMs }) => heldMs.worst, 1),
    ];
  });
  return { head, rows };
}

/** Counts are the worst of the rounds: once is enough. */
function breaks({ ways }: LabResult): Omit<Table, 'title'> {
  const head = [
    'way',
    'broken orders',
    'units oversold',
    'completed and not paid',
    'money held or taken for nothing',
    'without an end',
    'left to a person',
    'kills: in doubt',
    'others wait',
    'broken after recovery',
    'worst s until decided',
    'states that a bystander could see',
  ];
  const rows = ways.map((way) => {
    const most = (of: 'oversold' | 'moneyLost' | 'moneyTaken' | 'withoutEnd' | 'leftToPerson') =>
      `${Math.max(...way.rounds.map(({ verdict }) => verdict[of]))}`;
    const taken = way.kills.filter(({ wrong }) => wrong.some(({ kind }) => TAKEN.includes(kind))).length;
    return [
      way.wrong ? `${way.name} (**wrong**)` : way.name,
      `${brokenBy(way)}`,
      most('oversold'),
      most('moneyLost'),
      `${Number(most('moneyTaken')) + taken}`,
      most('withoutEnd'),
      most('leftToPerson'),
      `${way.kills.filter(({ inDoubt }) => inDoubt).length} of ${way.kills.length}`,
      `${way.kills.filter(({ othersWait }) => othersWait).length}`,
      `${way.broken}`,
      (Math.max(...way.kills.map(({ decidedMs }) => decidedMs)) / 1_000).toFixed(2),
      `${way.seen.length}`,
    ];
  });
  return { head, rows };
}

function takes({ ways }: Lab): Omit<Table, 'title'> {
  const head = ['way', 'has to be up for an order to be taken', 'has to be installed or allowed', 'lines of code'];
  return { head, rows: ways.map((way) => [way.name, way.needs, way.installs, `${linesOf(way)}`]) };
}

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
