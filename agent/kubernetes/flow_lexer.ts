/** A lexer that takes flow collections and quoted texts however they are indented, as kubectl does. */

import { Lexer } from "yaml";

/** What the library's lexer keeps to itself. */
interface Internals {
  /** The indentation that what goes on in the next line must have. */
  indentNext: number;
  parseFlowCollection(): Generator<string>;
  parseQuotedScalar(): Generator<string>;
}

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
  return lexer;
}
