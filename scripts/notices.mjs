/**
 * Prints the licence of every package that Larder runs on, for the image: `node scripts/notices.mjs > THIRD-PARTY-NOTICES`.
 * It reads package-lock.json and node_modules of the folder where it runs, and fails, naming the package, when a licence is
 * not one of those below.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** SPDX names of licences that ask for no more than that their text and their authors' names are passed on. */
const PERMISSIVE = ['0BSD', 'Apache-2.0', 'BlueOak-1.0.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT', 'Python-2.0'];
const TEXT = /^(licen[cs]e|copying|notice)|\.license\.txt$/i;

const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'));
// What only development needs is left out, and so is Prisma's command line, which npm takes for an optional part of its client.
const production = Object.entries(packages)
  .filter(([folder, { dev, devOptional }]) => folder !== '' && !dev && !devOptional)
  .map(([folder, { version, license }]) => ({
    folder,
    title: `${folder.split('node_modules/').at(-1)} ${version}`,
    license: license ?? 'no licence',
  }));

const refused = production.filter(({ license }) => !isPermissive(license));
if (refused.length > 0) {
  for (const { title, license } of refused) console.error(`${title}: ${license}`);
  console.error(
    'These licences are not on the list in scripts/notices.mjs. Take another package, or add a permissive one.',
  );
  process.exit(1);
}

console.log(
  'Larder contains the packages below, each under its own licence. Node and Debian bring theirs in the image:',
);
console.log('/usr/local/LICENSE and /usr/share/doc/*/copyright.');
// Of the builds of a native package for many systems, the one for this system is there.
for (const { folder, title, license } of production.filter((each) => existsSync(each.folder))) {
  console.log(`\n${'-'.repeat(80)}\n${title}: ${license}\n`);
  const texts = readdirSync(folder, { withFileTypes: true }).filter((file) => file.isFile() && TEXT.test(file.name));
  if (texts.length === 0) console.log(authorsOf(folder));
  for (const { name } of texts) console.log(readFileSync(join(folder, name), 'utf8').trim());
}

/** In an expression such as `(MIT OR Apache-2.0)`, each licence has to be on the list. */
function isPermissive(expression) {
  const names = expression.split(/[\s()]+/).filter((word) => word !== '' && word !== 'AND' && word !== 'OR');
  return names.every((name) => PERMISSIVE.includes(name));
}

/** What is known of a package that brings no text of its licence. */
function authorsOf(folder) {
  const { author, homepage } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const known = [typeof author === 'object' ? author.name : author, homepage].filter(Boolean);
  return ['The package brings no text of its licence.', ...known].join('\n');
}
