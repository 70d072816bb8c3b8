/** What makes maps interchangeable, and in what two of them differ. */

import { constantName, MapType } from "./constants.ts";

/** What makes two maps interchangeable. */
export interface MapLayout {
  /** One of `MapType`. */
  type: number;
  /** Bytes. */
  keySize: number;
  /** Bytes of one value; a per-CPU map has one for each possible CPU. */
  valueSize: number;
  /** How many entries it has room for. */
  maxEntries: number;
  /** `MapFlag` bits. */
  flags: number;
}

/** The differences between two layouts as "key size is 4, expected 8"; empty when they are equal. */
export function layoutDifferences(actual: MapLayout, expected: MapLayout): string[] {
  const differences: string[] = [];
  const compare = (what: string, a: number | string, e: number | string) => {
    if (a !== e) differences.push(`${what} is ${a}, expected ${e}`);
  };
  compare("type", constantName(MapType, actual.type), constantName(MapType, expected.type));
  compare("key size", actual.keySize, expected.keySize);
  compare("value size", actual.valueSize, expected.valueSize);
  compare("max entries", actual.maxEntries, expected.maxEntries);
  compare("flags", hex(actual.flags), hex(expected.flags));
  return differences;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
