/** Commands that change something on the node. */

import { AGENT_OPTIONS, type Command } from "../command.ts";

export const CHANGE: readonly Command[] = [
  {
    words: "trace-level",
    group: "Change",
    summary: "What is traced: nothing, connections or every packet",
    arguments: [{
      name: "LEVEL",
      summary: "none, connections or packets",
      required: true,
      values: ["none", "connections", "packets"],
    }],
    options: AGENT_OPTIONS,
    run: async (i) => (await import("../trace_level.ts")).setTraceLevel(i),
  },
  {
    words: "ct flush",
    group: "Change",
    summary: "Forget all connections; live ones are judged anew",
    options: [
      { name: "yes", type: "boolean", summary: "Do it without asking" },
      ...AGENT_OPTIONS,
    ],
    run: async (i) => (await import("../ct.ts")).flushConnections(i),
  },
];
