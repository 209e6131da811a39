/** What Larder takes from others is named by its hash, runs no script unasked, and is under a licence that lets it be passed on. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';

interface Locked {
  readonly version: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
  readonly dev?: boolean;
  readonly devOptional?: boolean;
}

const textOf = (path: string) => readFileSync(path, 'utf8');
const nameOf = (folder: string) => folder.split('node_modules/').at(-1)!;

/** The packages of a lock file: where each is installed, and what it has to be. The first entry is the project itself. */
function lockedIn(folder: string): [folder: string, locked: Locked][] {
  const { packages } = JSON.parse(textOf(join(folder, 'package-lock.json'))) as { packages: Record<string, Locked> };
  return Object.entries(packages).filter(([each]) => each !== '');
}

describe.each(['.', 'bench'])('the lock file of %s', (folder) => {
  const locked = lockedIn(folder);
  const foldersWith = (wanted: (each: Locked) => boolean) =>
    locked.filter(([, each]) => wanted(each)).map(([each]) => each);

  test('has packages', () => expect(locked.length).toBeGreaterThan(100));

  test('names the hash of every package', () => {
    const remedy = 'Take these entries out of package-lock.json and run `npm install --package-lock-only`.';
    const isSha512 = ({ integrity }: Locked) => /^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? '');
    expect(
      foldersWith((each) => !isSha512(each)),
      remedy,
    ).toEqual([]);
  });

  test('names no address', () => {
    const remedy = 'Run `npm install --package-lock-only --omit-lockfile-registry-resolved`.';
    expect(
      foldersWith(({ resolved }) => resolved !== undefined),
      remedy,
    ).toEqual([]);
  });

  test('has no package whose install script nobody has decided on', () => {
    const { allowScripts } = JSON.parse(textOf(join(folder, 'package.json'))) as { allowScripts: object };
    const scripted = new Set(foldersWith(({ hasInstallScript }) => hasInstallScript === true).map(nameOf));
    expect([...scripted].sort(), 'Name them in `allowScripts` of package.json.').toEqual(
      Object.keys(allowScripts).sort(),
    );
  });
});

describe('scripts/notices.mjs', () => {
  const script = resolve('scripts/notices.mjs');
  const notices = (folder: string) => spawnSync(process.execPath, [script], { cwd: folder, encoding: 'utf8' });

  /** A project with one package. */
  function withPackage(locked: object): ReturnType<typeof notices> {
    const folder = mkdtempSync(join(tmpdir(), 'larder-notices-'));
    mkdirSync(join(folder, 'node_modules/plain'), { recursive: true });
    writeFileSync(join(folder, 'node_modules/plain/package.json'), '{"author":"A. Author"}');
    writeFileSync(join(folder, 'node_modules/plain/LICENCE.md'), 'Do as you like.');
    const packages = { '': {}, 'node_modules/plain': { version: '1.0.0', ...locked } };
    writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ packages }));
    const result = notices(folder);
    rmSync(folder, { recursive: true });
    return result;
  }

  test('finds a permissive licence for every package that production needs, and prints it', () => {
    const { status, stdout, stderr } = notices('.');
    expect(stderr).toBe('');
    expect(status).toBe(0);
    const needed = lockedIn('.').filter(([folder, { dev, devOptional }]) => !dev && !devOptional && existsSync(folder));
    const titles = needed.map(([folder, { version }]) => `${nameOf(folder)} ${version}`);
    expect(titles).toContainEqual(expect.stringMatching(/^pg /));
    expect([...stdout.matchAll(/^-+\n(\S+ \S+): .+\n\n./gm)].map(([, title]) => title)).toEqual(titles);
    expect(stdout).toContain('Permission is hereby granted');
  });

  test.each(['MIT', '(BSD-3-Clause AND Apache-2.0)', '(MIT OR ISC)'])('lets a package under %s pass', (license) => {
    const { status, stdout } = withPackage({ license });
    expect(stdout).toContain(`plain 1.0.0: ${license}\n\nDo as you like.`);
    expect(status).toBe(0);
  });

  test.each(['GPL-3.0-only', 'MIT AND BUSL-1.1', 'SEE LICENSE IN LICENSE', undefined])('refuses %s', (license) => {
    const { status, stdout, stderr } = withPackage({ license });
    expect(stderr).toContain(`plain 1.0.0: ${license ?? 'no licence'}\n`);
    expect([status, stdout]).toEqual([1, '']);
  });

  test('asks for the licence of nothing that only development needs', () => {
    expect(withPackage({ license: 'GPL-3.0-only', dev: true }).status).toBe(0);
  });
});

describe('the workflows', () => {
  const workflows = readdirSync('.github/workflows').map((name) => textOf(join('.github/workflows', name)));

  test('pin every action to a commit, and say which version it is', () => {
    const actions = workflows.flatMap((text) => [...text.matchAll(/^.*\buses: *(.+)$/gm)].map(([, action]) => action!));
    expect(actions.length).toBeGreaterThan(10);
    const pinned = /^[\w-]+\/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/;
    expect(actions.filter((action) => !pinned.test(action))).toEqual([]);
    // One version of an action, one commit: a pair that is copied wrong stands out.
    const pairs = new Map(actions.map((action) => [action.replace(/@\w+/, ''), action]));
    expect([...new Set(actions)].sort()).toEqual([...pairs.values()].sort());
  });

  test('may read the repository and nothing else', () => {
    for (const text of workflows)
      expect(text.match(/^ *permissions:[^]*?(?=\n\n)/gm)).toEqual(['permissions:\n  contents: read']);
  });
});

test('the Python packages of test:api are those of requirements.in, each with its hashes', () => {
  const [wanted] = /^[\w-]+==.+$/m.exec(textOf('proof/api/requirements.in'))!;
  const packages = textOf('proof/api/requirements.txt')
    .split(/^(?=[\w-]+==)/m)
    .slice(1);
  expect(packages.map((each) => each.split(' ')[0])).toContain(wanted);
  const hashed = /^[\w-]+==[\w.]+(?: \\\n +--hash=sha256:[0-9a-f]{64})+\n$/;
  expect(packages.filter((each) => !hashed.test(each))).toEqual([]);
});
