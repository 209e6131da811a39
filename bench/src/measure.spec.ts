/** What the bench makes of its rounds. */
import { describe, expect, test } from 'vitest';
import { judged, measure } from './measure.js';
import { plot } from './plot.js';
import { merged, type Results, resultsOf } from './results.js';
import type { Bench, Goal, Row, Sample } from './row.js';

const rate: Goal = { name: 'rate', unit: '×', atLeast: 2, value: ({ larder }) => larder!['rate']! };
const exact: Goal = { name: 'sold', unit: 'pieces', atLeast: 5, atMost: 5, value: ({ larder }) => larder!['sold']! };
const bench: Bench = {
  quick: false,
  serverUrl: '',
  log: '',
  signal: new AbortController().signal,
  database: () => Promise.reject(new Error('No row here needs one.')),
  note() {},
};

/** A row whose contenders write down that they ran. */
function rowOf(contenders: Record<string, () => Sample>, goals: readonly Goal[] = []) {
  const ran: string[] = [];
  const row: Row = {
    id: 'P7',
    name: 'A row',
    how: 'By hand.',
    goals,
    open: async () => ({
      contenders: Object.fromEntries(
        Object.entries(contenders).map(([name, sample]) => [
          name,
          async () => {
            ran.push(name);
            return sample();
          },
        ]),
      ),
      close: async () => void ran.push('close'),
    }),
  };
  return { row, ran };
}

describe('a row', () => {
  test('is measured after a warm-up, each side once a round, in an order that turns', async () => {
    const { row, ran } = rowOf({ larder: () => ({ rate: 1 }), peer: () => ({ rate: 1 }) });
    const { samples } = await measure(row, bench, 2);
    expect(ran).toEqual(['larder', 'peer', 'larder', 'peer', 'peer', 'larder', 'close']);
    expect(samples).toHaveLength(2);
  });

  test('is closed when one of its sides fails', async () => {
    const broken = () => {
      throw new Error('6 units were sold, and there were 5.');
    };
    const { row, ran } = rowOf({ larder: broken });
    await expect(measure(row, bench, 5)).rejects.toThrow('6 units');
    expect(ran).toEqual(['larder', 'close']);
  });

  test('goes no further when the run is interrupted', async () => {
    const stop = new AbortController();
    const { row, ran } = rowOf({ larder: () => (stop.abort(new Error('Interrupted.')), { rate: 1 }) });
    await expect(measure(row, { ...bench, signal: stop.signal }, 5)).rejects.toThrow('Interrupted.');
    expect(ran).toEqual(['larder', 'close']);
  });
});

describe('a goal', () => {
  const rounds = (name: string, ...values: number[]) => values.map((value) => ({ larder: { [name]: value } }));

  test('is met by the median of the rounds', () => {
    expect(judged(rate, rounds('rate', 1, 9, 2, 1, 3))).toMatchObject({ value: 2, met: true });
    expect(judged(rate, rounds('rate', 1, 9, 1.9, 1, 3))).toMatchObject({ value: 1.9, met: false });
  });

  test('of pieces is missed when a single round has another number', () => {
    expect(judged(exact, rounds('sold', 5, 5, 5))).toMatchObject({ value: 5, met: true });
    expect(judged(exact, rounds('sold', 5, 6, 5))).toMatchObject({ value: 6, met: false });
  });

  test('is missed by what was not measured', () => {
    expect(judged(rate, rounds('rate', NaN))).toMatchObject({ met: false });
  });
});

describe('results', () => {
  const found = (id: string, value: number): Results => {
    const { row } = rowOf({}, [rate]);
    const samples = [{ larder: { rate: value } }];
    return resultsOf({ ...row, id }, { goals: [judged(rate, samples)], samples, profiles: {} }, '18');
  };
  const failed = (id: string): Results => resultsOf({ ...rowOf({}, [rate]).row, id }, new Error('Oversold.'), '18');

  test('of a row that is measured again take the place of the old ones, and the others stay', () => {
    const before = merged(found('P10', 1), found('P2', 1));
    const { rows, details } = merged(before, found('P2', 7));
    expect(rows.map(({ id, value }) => [id, value])).toEqual([
      ['P2', 7],
      ['P10', 1],
    ]);
    expect(Object.keys(details)).toEqual(['P2', 'P10']);
  });

  test('of a row that failed show the failure, and meet no goal', () => {
    const { rows, details } = failed('P3');
    expect(rows).toMatchObject([{ id: 'P3', goal: '≥ 2 ×', value: null, met: false }]);
    expect(details['P3']).toMatchObject({ failure: 'Oversold.' });
  });

  test('are distinguished in the plot by shape and word, not by colour alone', () => {
    const svg = plot(merged(merged(found('P1', 4), found('P2', 1)), failed('P3')));
    const [met, missed, unmeasured] = svg.split('\n').filter((line) => /class="strong" x="16"/.test(line));
    expect(met).toMatch(/<circle .*\) met</);
    expect(missed).toMatch(/<rect .*not met</);
    expect(unmeasured).toMatch(/failed</);
    expect(unmeasured).not.toMatch(/<rect|<circle/);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });
});
