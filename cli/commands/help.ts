/** Commands about pilus itself. */

import { type Command, OUTPUT_OPTIONS } from "../command.ts";

export const HELP: readonly Command[] = [
  {
    words: "version",
    group: "Help",
    summary: "The version, that of the runtime, and the kernel",
    options: OUTPUT_OPTIONS,
    run: async (i) => (await import("../version.ts")).version(i),
  },
  {
    words: "completion",
    group: "Help",
    summary: "A script that completes commands in your shell",
    arguments: [{
      name: "SHELL",
      summary: "bash, zsh or fish",
      required: true,
      values: ["bash", "zsh", "fish"],
    }],
    examples: [
      "source <(pilus completion bash)",
      "source <(pilus completion zsh)",
      "pilus completion fish | source",
    ],
    run: async (i, commands) => (await import("../completion.ts")).printCompletion(i, commands),
  },
];
