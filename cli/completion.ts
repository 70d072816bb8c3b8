/** `pilus completion` */

import { type Command, type Invocation, UsageError } from "./command.ts";
import { completion } from "./help.ts";
import { write } from "./output.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;

export function printCompletion({ args }: Invocation, commands: readonly Command[]): void {
  const shell = SHELLS.find((name) => name === args[0]);
  if (!shell) {
    throw new UsageError(`No completion for \`${args[0]}\`; there is ${SHELLS.join(", ")}`);
  }
  write(completion(commands, shell));
}
