/** Of Node's Buffer what the services use, for a browser. */
type Encoding = 'utf8' | 'hex' | 'base64url';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class BrowserBuffer extends Uint8Array {
  static override from(value: any, encoding: any = 'utf8'): any {
    return new BrowserBuffer(typeof value === 'string' ? bytesOf(value, encoding) : value);
  }

  static alloc(size: number): BrowserBuffer {
    return new BrowserBuffer(size);
  }

  static concat(parts: readonly Uint8Array[]): BrowserBuffer {
    const all = new BrowserBuffer(parts.reduce((sum, { length }) => sum + length, 0));
    let end = 0;
    for (const part of parts) {
      all.set(part, end);
      end += part.length;
    }
    return all;
  }

  writeUInt32BE(value: number): void {
    new DataView(this.buffer, this.byteOffset).setUint32(0, value);
  }

  override toString(encoding: Encoding = 'utf8'): string {
    if (encoding === 'utf8') return decoder.decode(this);
    if (encoding === 'hex') return Array.from(this, (byte) => byte.toString(16).padStart(2, '0')).join('');
    const base64 = btoa(Array.from(this, (byte) => String.fromCharCode(byte)).join(''));
    return base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
  }
}

function bytesOf(text: string, encoding: Encoding): Uint8Array {
  if (encoding === 'utf8') return encoder.encode(text);
  if (encoding === 'hex') return Uint8Array.from(text.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}
