/** For "did you mean": the known word that a given one is close to. */

import { levenshteinDistance } from "@std/text/levenshtein-distance";

/** No known word is longer, and the comparison's cost grows with the product of the lengths. */
const MAX_LENGTH = 64;

/** The known word nearest to `given`, upper and lower case alike; undefined when none is close. */
export function nearest(given: string, known: Iterable<string>): string | undefined {
  if (given.length > MAX_LENGTH) return undefined;
  const wanted = given.toLowerCase();
  let found: string | undefined;
  let least = Math.max(2, Math.floor(given.length / 3)) + 1;
  for (const word of known) {
    if (Math.abs(word.length - given.length) >= least) continue;
    const distance = levenshteinDistance(wanted, word.toLowerCase());
    if (distance < least) [found, least] = [word, distance];
  }
  return found;
}

/** The end of a message about `given`: "; did you mean `known`?", or nothing. */
export function didYouMean(given: string, known: Iterable<string>): string {
  const word = nearest(given, known);
  return word === undefined ? "" : `; did you mean \`${word}\`?`;
}
