/** What a world has been through, as a hash: the same seed has the same, on every machine. */
import { hash } from './chance.js';

export class Trace {
  private lane1 = 0x811c9dc5;
  private lane2 = 0x9747b28c;

  /** `nowMs` is the virtual time, with fractions. */
  mix(text: string, nowMs: number): void {
    const value = hash(text);
    const now = Math.floor(nowMs * 1_000) | 0;
    this.lane1 = Math.imul(this.lane1 ^ value ^ now, 0x01000193);
    this.lane2 = Math.imul((this.lane2 ^ now) + value, 0x85ebca6b) ^ (this.lane2 >>> 13);
  }

  /** 16 hexadecimal digits. */
  get hex(): string {
    return [this.lane1, this.lane2].map((lane) => (lane >>> 0).toString(16).padStart(8, '0')).join('');
  }
}
