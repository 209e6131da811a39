/** The documents that people copy by name files and commands that exist. */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';
import { services } from '../apps/shop.js';

const textOf = (path: string) => readFileSync(path, 'utf8');
const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };

/** Paths in backticks that begin with a folder of the repository. */
const pathsIn = (text: string) =>
  [...text.matchAll(/`((?:apps|libs|prisma|proof|scripts|test|docs|bench)\/[^\s`]*)`/g)].map(([, path]) => path!);

/** What only a copier has: another service, or a name that stands for any. `<service>` stands for a service that has the file. */
const isPlaceholder = (path: string) => /shipping|<(?!service>)|\*/.test(path);

describe.each(['docs/recipes.md', 'README.md', 'AGENTS.md'])('%s', (document) => {
  const text = textOf(document);

  test('the files that it names exist', () => {
    const paths = pathsIn(text).filter((path) => !isPlaceholder(path));
    const missing = paths.filter((path) => !services.some((each) => existsSync(path.replaceAll('<service>', each))));
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

test('the code of the recipe for a service compiles where it says that it goes', () => {
  const blocks = textOf('docs/recipes.md').matchAll(/^`((?:apps|libs)\/\S+\.ts)`:\n\n```ts\n([^]*?)^```/gm);
  const files = new Map([...blocks].map(([, path, code]) => [resolve(path!), code!]));
  expect(files.size).toBeGreaterThan(10);
  // What the other steps make: the clause in the index of contracts, and Prisma's client.
  const contracts = resolve('libs/contracts/src/index.ts');
  files.set(contracts, `${textOf(contracts)}export * from './shipping.js';`);
  files.set(resolve('prisma/shipping/client/client.ts'), CLIENT);

  const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent({ ...config, files: [...files.keys()] }, ts.sys, process.cwd());
  const host = ts.createCompilerHost(options);
  const { readFile, fileExists } = host;
  host.readFile = (path) => files.get(path) ?? readFile(path);
  host.fileExists = (path) => files.has(path) || fileExists(path);
  host.directoryExists = () => true;
  host.jsDocParsingMode = ts.JSDocParsingMode.ParseNone;
  const program = ts.createProgram([...files.keys()], options, host);
  const wrong = [...files.keys()].flatMap((path) => {
    const source = program.getSourceFile(path);
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
  });
  expect(
    wrong.map(({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`),
  ).toEqual([]);
}, 120_000);

const CLIENT = `export declare class PrismaClient {
  shipmentSummary: { findUnique(query: object): Promise<{ createdAt: Date } | null> };
}`;
