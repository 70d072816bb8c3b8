/** Commands that show what happens. */

import { AGENT_OPTIONS, type Command, type Option } from "../command.ts";
import { OBSERVE_COMMAND } from "./observe.ts";
import { IP, PORT, PROTOCOL } from "./shared.ts";

const MONITOR: readonly Option[] = [
  { name: "drops", type: "boolean", summary: "Drops alone" },
  {
    name: "type",
    type: "list",
    values: ["drop", "trace", "verdict", "agent"],
    summary: "These alone, by default the packets: drop, trace, verdict",
  },
  { name: "pod", type: "string", placeholder: "NS/POD", summary: "From or to the pod" },
  { name: "from-pod", type: "string", placeholder: "NS/POD", summary: "From the pod" },
  { name: "to-pod", type: "string", placeholder: "NS/POD", summary: "To the pod" },
  IP,
  { name: "from-ip", type: "string", placeholder: "IP", summary: "From the address" },
  { name: "to-ip", type: "string", placeholder: "IP", summary: "To the address" },
  PORT,
  { ...PORT, name: "from-port", summary: "From the port" },
  { ...PORT, name: "to-port", summary: "To the port" },
  {
    ...PROTOCOL,
    summary: `${PROTOCOL.summary}; non-ip: what is not IP`,
  },
  { name: "identity", type: "number", summary: "From or to the identity" },
  { name: "from-identity", type: "number", summary: "From the identity" },
  { name: "to-identity", type: "number", summary: "To the identity" },
  { name: "verdict", type: "string", values: ["forwarded", "dropped"], summary: "Of that verdict" },
  {
    name: "last",
    type: "number",
    summary: "The last so many that are kept, then end",
    range: [1, Infinity],
  },
  {
    name: "since",
    type: "string",
    placeholder: "AGO",
    summary: "Those kept since 90s, 5m, 2h ago or a time, then end",
  },
  {
    name: "follow",
    type: "boolean",
    summary:
      "With --last and --since: go on with those that come; --no-follow: end without them, too",
  },
  {
    name: "count",
    short: "n",
    type: "number",
    summary: "End after so many",
    range: [1, Infinity],
  },
  {
    name: "output",
    short: "o",
    type: "string",
    values: ["compact", "json"],
    summary: "How to print",
    default: "compact",
  },
  ...AGENT_OPTIONS,
];

export const FOLLOW: readonly Command[] = [
  {
    words: "monitor",
    group: "Follow",
    summary: "Drops, verdicts and traces as they happen",
    options: MONITOR,
    examples: [
      "pilus monitor --drops",
      "pilus monitor --pod demo/web -o json",
      "pilus monitor --drops --last 20",
    ],
    run: async (i) => (await import("../monitor.ts")).monitor(i),
  },
  OBSERVE_COMMAND,
];
