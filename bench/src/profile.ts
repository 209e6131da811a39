/**
 * Where the time goes: the CPU profile of this process, and what the connections of the run's Postgres are
 * doing, looked at every few milliseconds. Both together distinguish a program that computes from one that waits, and show for what it waits.
 */
import type { Profiler, Runtime } from 'node:inspector';
import { Session } from 'node:inspector/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';

/** A part of the time, in percent. */
export interface Share {
  readonly what: string;
  readonly percent: number;
}

/** By what was looked at (a process, the server): where its time went, the largest share first. */
export type Profile = Readonly<Record<string, readonly Share[]>>;

const SAMPLE_CPU_US = 250;
const SAMPLE_SERVER_MS = 5;
/** What is shown of each; the rest would be noise. */
const TOP = 12;

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Does `work` once, watching this process and the server at `serverUrl`. */
export async function profile(serverUrl: string, work: () => Promise<unknown>): Promise<Profile> {
  const session = new Session();
  session.connect();
  try {
    await session.post('Profiler.enable');
    await session.post('Profiler.setSamplingInterval', { interval: SAMPLE_CPU_US });
    await session.post('Profiler.start');
    const server = await watching(serverUrl, work);
    const { profile } = await session.post('Profiler.stop');
    return { 'This process': cpuShares(profile), Postgres: server };
  } finally {
    session.disconnect();
  }
}

/** Self time by file of ours, or by package. */
function cpuShares({ nodes }: Profiler.Profile): Share[] {
  const hits = new Map<string, number>();
  for (const { callFrame, hitCount } of nodes) {
    const area = areaOf(callFrame);
    hits.set(area, (hits.get(area) ?? 0) + (hitCount ?? 0));
  }
  return shares(hits);
}

function areaOf({ functionName, url }: Runtime.CallFrame): string {
  if (functionName === '(idle)') return 'waiting';
  if (functionName === '(garbage collector)') return 'garbage collection';
  if (functionName.startsWith('(')) return 'native code: sockets, and the runtime itself';
  if (url === '') return "JavaScript's own functions";
  if (url.startsWith('node:')) return 'Node: streams, sockets, promises, timers';
  const path = url.startsWith('file:') ? fileURLToPath(url) : url;
  const [, name] = /.*[/\\]node_modules[/\\]((?:@[^/\\]+[/\\])?[^/\\]+)/.exec(path) ?? [];
  if (name) return name;
  return path.startsWith(ROOT) ? path.slice(ROOT.length) : 'elsewhere';
}

/**
 * Samples pg_stat_activity, from a connection of its own, while `work` is done. A sample counts once, in equal parts for
 * all statements that are under way, each by what it waits for: without a wait event, it is on the CPU.
 */
async function watching(url: string, work: () => Promise<unknown>): Promise<Share[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const samples = new Map<string, number>();
  let done = false;
  const watch = async () => {
    while (!done) {
      const { rows } = await client.query<{ doing: string }>({
        name: 'watch',
        text: `SELECT coalesce(wait_event_type || ': ' || wait_event, 'on the CPU')
                 || CASE WHEN state <> 'active' THEN ', in an open transaction' ELSE '' END AS doing
               FROM pg_stat_activity
               WHERE backend_type = 'client backend' AND state <> 'idle' AND pid <> pg_backend_pid()`,
      });
      const doing =
        rows.length > 0 ? rows.map((row) => row.doing) : ['no statement under way: it waits for its clients'];
      for (const what of doing) samples.set(what, (samples.get(what) ?? 0) + 1 / doing.length);
      await sleep(SAMPLE_SERVER_MS);
    }
  };
  const watched = watch();
  try {
    await work();
  } finally {
    done = true;
    await watched.finally(() => client.end());
  }
  return shares(samples);
}

/** The largest parts of all that was counted. */
export function shares(counts: ReadonlyMap<string, number>): Share[] {
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
  return [...counts]
    .map(([what, count]) => ({ what, percent: Math.round((count * 1_000) / all) / 10 }))
    .filter(({ percent }) => percent > 0)
    .toSorted((a, b) => b.percent - a.percent)
    .slice(0, TOP);
}
