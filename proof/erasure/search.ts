/**
 * Finds words in bytes, in whatever way a program may have written them: as text in several encodings, with escapes, and
 * those again in base64, hexadecimal and the like. What is compressed or encrypted has to be opened before.
 *
 * Each spelling of each word is a pattern of bytes, some ten thousand in all, and a shop's files are some hundred
 * megabytes: a rolling hash of a few bytes tells where it is worth to compare.
 */

export interface Secret {
  readonly text: string;
  /** `the city of the customer whose order is rejected`. */
  readonly what: string;
}

export interface Match {
  readonly secret: Secret;
  /** `UTF-8 in base64`. */
  readonly encoding: string;
  readonly offset: number;
}

interface Pattern {
  readonly secret: Secret;
  readonly encoding: string;
  /** Without the case of ASCII letters. */
  readonly bytes: Uint8Array;
}

/** How many bytes are hashed: no pattern is shorter. */
const WINDOW = 8;
const BASE = 0x01000193;
/** The bytes of a text without the case of ASCII letters. */
const FOLDED = Uint8Array.from({ length: 256 }, (_, byte) => (byte >= 65 && byte <= 90 ? byte + 32 : byte));
/** The bits of a hash that choose a bit of the filter. */
const FILTER_BITS = 18;

export class Search {
  private readonly patterns = new Map<number, Pattern[]>();
  private readonly filter = new Uint8Array(2 ** FILTER_BITS);
  /** BASE to the power of WINDOW. */
  private readonly leaving: number;

  constructor(secrets: Iterable<Secret>) {
    this.leaving = Array.from({ length: WINDOW }).reduce<number>((power) => Math.imul(power, BASE), 1);
    for (const secret of secrets) {
      for (const [encoding, bytes] of spellingsOf(secret.text)) this.add({ secret, encoding, bytes });
    }
  }

  /** Where each word is found first. */
  in(content: Uint8Array | string): Match[] {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    const found = new Map<Secret, Match>();
    const { filter, leaving } = this;
    let hash = hashOf(bytes.subarray(0, WINDOW));
    for (let offset = 0; ; offset++) {
      if (filter[hash >>> (32 - FILTER_BITS)] !== 0) {
        for (const { secret, encoding, bytes: wanted } of this.patterns.get(hash) ?? []) {
          if (!found.has(secret) && isAt(bytes, offset, wanted)) found.set(secret, { secret, encoding, offset });
        }
      }
      if (offset + WINDOW >= bytes.length) break;
      const next = Math.imul(hash, BASE) + FOLDED[bytes[offset + WINDOW]!]!;
      hash = (next - Math.imul(FOLDED[bytes[offset]!]!, leaving)) | 0;
    }
    return [...found.values()];
  }

  private add(pattern: Pattern): void {
    const { bytes, secret } = pattern;
    if (bytes.length < WINDOW) throw new Error(`"${secret.text}" is too short to be looked for.`);
    const hash = hashOf(bytes.subarray(0, WINDOW));
    this.filter[hash >>> (32 - FILTER_BITS)] = 1;
    this.patterns.set(hash, [...(this.patterns.get(hash) ?? []), pattern]);
  }
}

function hashOf(bytes: Uint8Array): number {
  return bytes.reduce((hash, byte) => (Math.imul(hash, BASE) + FOLDED[byte]!) | 0, 0);
}

function isAt(bytes: Uint8Array, offset: number, wanted: Uint8Array): boolean {
  if (offset + wanted.length > bytes.length) return false;
  for (let i = 0; i < wanted.length; i++) if (FOLDED[bytes[offset + i]!] !== wanted[i]) return false;
  return true;
}

/** Every way to write a word, once each: the name of the encoding, and its bytes without the case of ASCII letters. */
function* spellingsOf(word: string): Iterable<[encoding: string, bytes: Uint8Array]> {
  const known = new Set<string>();
  for (const [form, variant] of variantsOf(word)) {
    for (const [encoding, text] of textsOf(variant)) {
      for (const [wrapping, wrapped] of wrappingsOf(text)) {
        const bytes = wrapped.map((byte) => FOLDED[byte]!);
        const key = Buffer.from(bytes).toString('latin1');
        if (known.has(key)) continue;
        known.add(key);
        yield [[encoding, form, wrapping].filter(Boolean).join(' '), bytes];
      }
    }
  }
}

function variantsOf(word: string): [form: string, word: string][] {
  const decomposed = word.normalize('NFD');
  return [
    ['', word],
    ['in lower case', word.toLowerCase()],
    ['in upper case', word.toUpperCase()],
    ['decomposed', decomposed],
    ['without accents', decomposed.replace(/\p{M}/gu, '')],
  ];
}

function textsOf(word: string): [encoding: string, bytes: Buffer][] {
  const escaped = word.replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  const littleEndian = Buffer.from(word, 'utf16le');
  return [
    ['UTF-8', Buffer.from(word)],
    ['UTF-16LE', littleEndian],
    ['UTF-16BE', Buffer.from(littleEndian).swap16()],
    // What Latin-1 lacks becomes something else there.
    ...(/^[\0-\xff]*$/.test(word) ? [['Latin-1', Buffer.from(word, 'latin1')] as [string, Buffer]] : []),
    ['JSON escapes', Buffer.from(escaped)],
    ['JSON escapes in JSON', Buffer.from(escaped.replaceAll('\\', '\\\\'))],
    ['percent-encoding', Buffer.from(encodeURIComponent(word))],
    ['percent-encoding, twice', Buffer.from(encodeURIComponent(encodeURIComponent(word)))],
  ];
}

function* wrappingsOf(text: Buffer): Iterable<[wrapping: string, bytes: Buffer]> {
  yield ['', text];
  yield ['in hexadecimal', Buffer.from(text.toString('hex'))];
  yield ['as quoted-printable', quotedPrintable(text)];
  for (const before of [0, 1, 2]) {
    // Three bytes are four characters, so it matters where in its group of three the word begins. A character that also
    // depends on what is beside the word is left out.
    const whole = Buffer.concat([Buffer.alloc(before), text]);
    const base64 = whole.toString('base64').slice(Math.ceil((before * 8) / 6), Math.floor((whole.length * 8) / 6));
    yield ['in base64', Buffer.from(base64)];
    yield ['in base64url', Buffer.from(base64.replaceAll('+', '-').replaceAll('/', '_'))];
  }
}

function quotedPrintable(text: Buffer): Buffer {
  const spell = (byte: number) => {
    const character = String.fromCharCode(byte);
    return /[ -<>-~]/.test(character) ? character : `=${byte.toString(16).padStart(2, '0')}`;
  };
  return Buffer.from(Array.from(text, spell).join(''));
}
