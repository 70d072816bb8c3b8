/**
 * A lexer that reads flow collections as kubectl does: they and quoted texts may be indented as they
 * like, and a plain text ends at a colon only when a space follows: `{a:[]}` is none, `{a:}` has `a:`.
 */

import { Lexer } from "yaml";

/** What the library's lexer keeps to itself. */
interface Internals {
  /** The indentation that what goes on in the next line must have. */
  indentNext: number;
  readonly buffer: string;
  readonly flowLevel: number;
  parseFlowCollection(): Generator<string>;
  parseQuotedScalar(): Generator<string>;
  parsePlainScalar(): Generator<string>;
  pushToIndex(end: number, allowEmpty: boolean): Generator<string>;
}

/** From where a plain text of a flow collection ended for the library: a colon that is part of it. */
const COLON = /[ \t]*:(?=[,[\]{}])/y;

/** See the module. Documents' marks still end them. */
export function flowLexer(): Lexer {
  const lexer = new Lexer();
  const internals = lexer as unknown as Internals;
  for (const name of ["parseFlowCollection", "parseQuotedScalar"] as const) {
    const parse = internals[name];
    internals[name] = function* () {
      const { indentNext } = internals;
      internals.indentNext = 0;
      try {
        return yield* parse.call(lexer);
      } finally {
        internals.indentNext = indentNext;
      }
    };
  }
  let inPlain = false;
  const { parsePlainScalar, pushToIndex } = internals;
  internals.parsePlainScalar = function* () {
    inPlain = internals.flowLevel > 0;
    try {
      return yield* parsePlainScalar.call(lexer);
    } finally {
      inPlain = false;
    }
  };
  internals.pushToIndex = function* (end, allowEmpty) {
    COLON.lastIndex = end;
    const more = inPlain ? COLON.exec(internals.buffer)?.[0].length ?? 0 : 0;
    return yield* pushToIndex.call(lexer, end + more, allowEmpty);
  };
  return lexer;
}
