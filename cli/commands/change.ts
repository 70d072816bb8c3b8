/** Commands that change something on the node. */

import { OPTIONS } from "../../agent/node/options.ts";
import { AGENT_OPTIONS, type Command, OUTPUT_OPTIONS } from "../command.ts";
import { CONFIG } from "./shared.ts";

export const CHANGE: readonly Command[] = [
  {
    words: "trace-level",
    group: "Change",
    summary: "What is traced: nothing, connections or every packet",
    arguments: [{
      name: "LEVEL",
      summary: "none, connections or packets; without it, what is in force is printed",
      values: ["none", "connections", "packets"],
    }],
    options: AGENT_OPTIONS,
    run: async (i) => (await import("../trace_level.ts")).traceLevel(i),
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
  {
    words: "uninstall",
    group: "Change",
    summary: "Take everything off the node that pilus has put there",
    description:
      "Asks first; says what it leaves and why. Options and variables of the agent say " +
      "where things are. End the agent before.",
    options: [
      { name: "yes", type: "boolean", summary: "Do it without asking; pods lose their network" },
      { name: "dry-run", type: "boolean", summary: "Print what would be removed, and end" },
      OPTIONS.bpffs,
      OPTIONS.stateDir,
      OPTIONS.runDir,
      OPTIONS.cniConfDir,
      OPTIONS.cniBinDir,
      OPTIONS.manifests,
      OPTIONS.nodeName,
      CONFIG,
      ...OUTPUT_OPTIONS,
    ],
    examples: ["pilus uninstall --dry-run", "pilus uninstall --yes"],
    run: async (i) => (await import("../uninstall.ts")).uninstall(i),
  },
];
