/** The documents that people copy by name files and commands that exist. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { services } from '../apps/shop.js';

const textOf = (path: string) => readFileSync(path, 'utf8');
const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };

/** Paths in backticks that begin with a folder of the repository. */
const pathsIn = (text: string) =>
  [...text.matchAll(/`((?:apps|libs|prisma|proof|scripts|test|docs|bench)\/[^\s`]*)`/g)].map(([, path]) => path!);

/** What only a copier has: another service, or a name that stands for any. */
const isPlaceholder = (path: string) => /shipping|<(?!service>)|\*/.test(path);

describe.each(['docs/recipes.md', 'README.md', 'AGENTS.md'])('%s', (document) => {
  const text = textOf(document);

  test('the files that it names exist', () => {
    const paths = pathsIn(text).filter((path) => !isPlaceholder(path));
    const missing = paths.filter((path) => !services.every((each) => existsSync(path.replaceAll('<service>', each))));
    expect(missing).toEqual([]);
  });

  test('the commands that it names exist', () => {
    const named = [...text.matchAll(/\bnpm run ([a-z:]+)/g)].map(([, name]) => name!);
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });
});

test('the specs that the recipes quote have tests with these titles', () => {
  const quotes = [...textOf('docs/recipes.md').matchAll(/`(test\/[\w.-]+\.spec\.ts)`: "([^"]+)"/g)];
  expect(quotes.length).toBeGreaterThan(5);
  const titles = quotes.map(([, file, title]) => [file!, title!.replace(/^docs\/\S+ /, '%s ')] as const);
  expect(titles.filter(([file, title]) => !textOf(file).includes(title))).toEqual([]);
});
