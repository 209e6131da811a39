/** docs/performance.md and its plot, from results.json and the fragments of prose next to it. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Advice } from '../../scripts/lib/advice.js';
import { median } from './measure.js';
import { plot } from './plot.js';
import type { Profile } from './profile.js';
import { byId, figure, type Result, type Results, type RowDetails, spread, writeFormatted } from './results.js';

const bench = new URL('..', import.meta.url);
const docs = new URL('../../docs/', import.meta.url);

/** Writes both documents. @throws Advice when nothing was measured yet */
export async function report(results: Results): Promise<void> {
  if (results.rows.length === 0) throw new Advice('Nothing was measured yet: `npm run bench` does that.');
  writeFileSync(new URL('performance.svg', docs), plot(results));
  await writeFormatted(fileURLToPath(new URL('performance.md', docs)), document(results));
}

function document(results: Results): string {
  const met = results.rows.filter((result) => result.met).length;
  return [
    '<!-- Written by `npm run bench` from bench/results.json and bench/performance-*.md: change those. -->',
    '# Performance',
    `Larder and its peers side by side: on one machine, one Postgres with \`fsync\` and \`synchronous_commit\` on, in one go. **${met} of ${results.rows.length} goals are met.**`,
    `![Each goal, and how far from it the measured value is](performance.svg)`,
    table(results),
    `A value is the median of the rounds, and the last column shows the range over the rounds, from the lowest to the highest. A round measures each side for a few seconds, one right after the other, in an order that turns from round to round; a multiple is made of the two figures of one round. A goal that has to be met exactly must be met so in every round.`,
    measuredOn(results),
    '## Again',
    [
      '```sh',
      'npm run bench                      # all rows, in five rounds; the first run fetches the peers',
      'npm run bench -- --only P3,P4      # these rows; the results of the others stay',
      'npm run bench -- --quick           # a little of everything, to see that it works; nothing is kept',
      'npm run bench -- --counts          # the statements of a checkout, counted and in their order',
      'npm run bench -- --report          # this page and its plot, from bench/results.json',
      '```',
    ].join('\n'),
    ...fragments(),
    '## How each side is set up',
    ...Object.entries(results.details).flatMap(([id, details]) => setUp(id, details)),
    ...missed(results),
  ].join('\n\n');
}

function table({ rows }: Results): string {
  const lines = rows.map((result, i) => {
    const { id, name, compared, goal, value, unit } = result;
    const first = rows[i - 1]?.id !== id;
    return [
      first ? id : '',
      first ? `**${cell(name)}**: ${cell(compared)}` : cell(compared),
      goal,
      figure(value, unit),
      spread(result),
      verdict(result),
    ];
  });
  const head = ['', 'work', 'goal', 'measured', 'rounds', ''];
  return [head, ['---', '---', '--:', '--:', '--:', '---'], ...lines]
    .map((line) => `| ${line.join(' | ')} |`)
    .join('\n');
}

function verdict({ met, value }: Result): string {
  if (met) return '✓ met';
  return value === null ? '✗ **failed**' : '✗ **not met**';
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

/** The machine, the versions and the moment: once, or by row where they differ. */
function measuredOn(results: Results): string {
  const byText = new Map<string, string[]>();
  for (const [id, { measuredAt, commit, versions }] of Object.entries(results.details)) {
    const machine = results.rows.find((row) => row.id === id)!.machine;
    const { postgres, ...packages } = versions;
    const text = [
      `on ${machine.cores} cores (${machine.cpu}) with ${machine.memoryGiB} GiB, ${machine.os}, Node ${machine.node}, Postgres ${postgres}`,
      commit ? `the commit of ${commit.date}${commit.changed ? ', with changes that were not committed' : ''}` : '',
      Object.entries(packages)
        .map(([name, version]) => `${name} ${version}`)
        .join(', '),
    ]
      .filter((part) => part !== '')
      .join('; ');
    const on = `${measuredAt.slice(0, 10)} ${text}`;
    byText.set(on, [...(byText.get(on) ?? []), id]);
  }
  if (byText.size === 1) return `Measured on ${[...byText.keys()][0]}.`;
  return ['Measured:', '', ...[...byText].map(([text, ids]) => `- ${ids.join(', ')}: on ${text}.`)].join('\n');
}

/** What the figures do not show by themselves, each file a section or some. */
function fragments(): string[] {
  const names = readdirSync(bench).filter((name) => /^performance-.*\.md$/.test(name));
  return names.toSorted().map((name) => readFileSync(new URL(name, bench), 'utf8').trim());
}

function setUp(id: string, { name, how, samples, failure }: RowDetails): string[] {
  const parts = [`### ${id}. ${name}`, how];
  if (failure !== undefined) parts.push(`**This row failed**: ${failure}`);
  if (samples.length > 0) parts.push(medians(samples));
  return parts;
}

/** What each side measured, as medians of the rounds. */
function medians(samples: RowDetails['samples']): string {
  const sides = Object.keys(samples[0]!);
  const names = [...new Set(samples.flatMap((sample) => Object.values(sample).flatMap((of) => Object.keys(of))))];
  const lines = sides.map((side) => [
    side,
    ...names.map((name) => {
      const values = samples.flatMap((sample) => sample[side]?.[name] ?? []);
      return values.length > 0 ? figure(median(values)) : '';
    }),
  ]);
  const head = ['median of the rounds', ...names.map(heading)];
  return [head, ['---', ...names.map(() => '--:')], ...lines].map((line) => `| ${line.join(' | ')} |`).join('\n');
}

/** `p50Ms` → `p50, ms`; `rate` → `per second`. */
function heading(name: string): string {
  if (name === 'rate') return 'per second';
  return name.replace(/Ms$/, ', ms').replace(/Mb$/, ', MB');
}

/** Where the time goes, for each row with a goal that is not met. */
function missed(results: Results): string[] {
  const ids = [...new Set(results.rows.filter(({ met }) => !met).map(({ id }) => id))].toSorted(byId);
  if (ids.length === 0) return [];
  return [
    '## Where the time goes, for the goals that are not met',
    'The side in question once more, watched: the CPU profile of its process by file or package, and what the statements under way on the server waited for. The shares of the process are of the time that passed, those of the server of the times it was looked at.',
    ...ids.flatMap((id) => {
      const goals = results.rows.filter((row) => row.id === id && !row.met);
      const byHowMuch = goals.map(
        ({ compared, goal, value, unit }) => `- ${compared}: ${figure(value, unit)}, where the goal is ${goal}`,
      );
      const profiles = Object.entries(results.details[id]!.profiles);
      return [`### ${id}: ${results.details[id]!.name}`, byHowMuch.join('\n'), ...profiles.flatMap(profiled)];
    }),
  ];
}

function profiled([contender, profile]: [string, Profile]): string[] {
  return Object.entries(profile).map(([where, shares]) =>
    [
      `| ${contender}: ${where} | % |`,
      '| --- | --: |',
      ...shares.map(({ what, percent }) => `| ${cell(what)} | ${percent.toFixed(1)} |`),
    ].join('\n'),
  );
}
