/** Builds that differ from this one in a few lines: with a bug in it, or newer. */
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import ts from 'typescript';
import { Advice } from '../scripts/lib/advice.js';

export interface Edit {
  readonly file: string;
  /** Occurs once in the file. */
  readonly replace: string;
  readonly by: string;
}

/** Copies the build to `folder` and compiles the edited files again. @throws Advice when an edit does not fit its file */
export function buildWith(
  { name, edits }: { readonly name: string; readonly edits: readonly Edit[] },
  folder: string,
): void {
  cpSync('dist', join(folder, 'dist'), { recursive: true });
  cpSync('package.json', join(folder, 'package.json'));
  for (const name of ['node_modules', 'prisma']) symlinkSync(resolve(name), join(folder, name), 'junction');
  for (const file of new Set(edits.map((edit) => edit.file))) {
    const text = edited({ name, edits }, file, readFileSync(file, 'utf8'));
    const { outputText } = ts.transpileModule(text, {
      fileName: file,
      compilerOptions: {
        target: ts.ScriptTarget.ES2023,
        module: ts.ModuleKind.ESNext,
        experimentalDecorators: true,
        emitDecoratorMetadata: true,
      },
    });
    writeFileSync(join(folder, 'dist', file.replace(/\.ts$/, '.js')), outputText);
  }
}

/** The text of a file with what is edited in it. @throws Advice when an edit does not fit */
export function edited(
  { name, edits }: { readonly name: string; readonly edits: readonly Edit[] },
  path: string,
  text: string,
): string {
  return edits.reduce((before, { file, replace, by }) => {
    if (file !== path) return before;
    if (before.split(replace).length !== 2)
      throw new Advice(`"${name}" no longer fits ${file}, which must contain this exactly once: "${replace}".`);
    return before.replace(replace, () => by);
  }, text);
}
