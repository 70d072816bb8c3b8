/** Commands that show what there is. */

import type { Argument, Command, Invocation } from "../command.ts";
import { IP, LIMIT, LIST_OPTIONS, PORT, PROTOCOL } from "./shared.ts";

const ENDPOINT: Argument = {
  name: "ENDPOINT",
  summary: "its number, or namespace/pod",
  required: true,
};

export const LOOK: readonly Command[] = [
  {
    words: "status",
    group: "Look",
    summary: "How the agent and its datapath are",
    description: "Problems come first. Exit code 1 when something is wrong.",
    options: [
      { name: "wait", type: "number", placeholder: "SECONDS", summary: "Wait until all is well" },
      ...LIST_OPTIONS,
    ],
    run: async (i) => (await import("../status.ts")).status(i),
  },
  list(
    "endpoint list",
    "Pods of this node",
    async (i) => (await import("../endpoint.ts")).listEndpoints(i),
  ),
  {
    words: "endpoint get",
    group: "Look",
    summary: "All about one pod",
    arguments: [ENDPOINT],
    options: LIST_OPTIONS,
    run: async (i) => (await import("../endpoint.ts")).getEndpoint(i),
  },
  list(
    "identity list",
    "Numbers of label sets",
    async (i) => (await import("../identity.ts")).listIdentities(i),
  ),
  list("node list", "Nodes of the cluster", async (i) => (await import("../node.ts")).listNodes(i)),
  list(
    "service list",
    "Services and their backends",
    async (i) => (await import("../service.ts")).listServices(i),
  ),
  {
    words: "service get",
    group: "Look",
    summary: "All about one service",
    arguments: [{ name: "SERVICE", summary: "namespace/name, or a number", required: true }],
    options: LIST_OPTIONS,
    examples: ["pilus service get demo/web"],
    run: async (i) => (await import("../service.ts")).getService(i),
  },
  {
    words: "service trace",
    group: "Look",
    summary: "Which backend a new flow would get, why, and what happens to its packets",
    description: "Read from the kernel's maps. Exit code 1 when the flow gets no backend.",
    arguments: [{ name: "VIP:PORT[/udp]", summary: "an address of the service", required: true }],
    options: [
      {
        name: "from",
        type: "string",
        placeholder: "ADDRESS[:PORT]|NS/POD",
        summary: "The client, or a pod of this node; a process of this node by default",
      },
      ...LIST_OPTIONS,
    ],
    examples: ["pilus service trace 192.0.2.80:443 --from 198.51.100.7:40000"],
    run: async (i) => (await import("../service_trace.ts")).traceService(i),
  },
  {
    words: "lb list",
    group: "Look",
    summary: "The load balancer as the kernel has it",
    options: [
      { name: "frontends", type: "boolean", summary: "Frontends and their settings" },
      { name: "backends", type: "boolean", summary: "Backends, how often chosen, by scope" },
      { name: "source-ranges", type: "boolean", summary: "Prefixes that services answer" },
      { name: "maglev", type: "boolean", summary: "Maglev tables and the backends' shares" },
      ...LIST_OPTIONS,
    ],
    run: async (i) => (await import("../lb.ts")).listBalancer(i),
  },
  {
    words: "nat list",
    group: "Look",
    summary: "Flows whose addresses are translated",
    options: [IP, PORT, PROTOCOL, LIMIT, ...LIST_OPTIONS],
    run: async (i) => (await import("../nat.ts")).listMappings(i),
  },
  {
    words: "policy get",
    group: "Look",
    summary: "The rules that a pod is judged by, as the kernel has them",
    arguments: [ENDPOINT],
    options: LIST_OPTIONS,
    examples: ["pilus policy get demo/web-a"],
    run: async (i) => (await import("../policy.ts")).getPolicy(i),
  },
  {
    words: "ct list",
    group: "Look",
    summary: "Connections",
    options: [
      IP,
      PORT,
      PROTOCOL,
      LIMIT,
      ...LIST_OPTIONS,
    ],
    examples: ["pilus ct list --ip 10.0.1.7 --protocol tcp"],
    run: async (i) => (await import("../ct.ts")).listConnections(i),
  },
  list(
    "prefilter list",
    "Prefixes that the node does not listen to, and what was dropped",
    async (i) => (await import("../prefilter.ts")).listPrefilter(i),
  ),
  list(
    "ipcache list",
    "What each address is",
    async (i) => (await import("../ipcache.ts")).listIpcache(i),
  ),
  list(
    "map list",
    "eBPF maps and how full they are",
    async (i) => (await import("../map.ts")).listMaps(i),
  ),
  {
    words: "map dump",
    group: "Look",
    summary: "The rows of a map, decoded",
    arguments: [{ name: "MAP", summary: "its name, with or without pilus_", required: true }],
    options: [LIMIT, ...LIST_OPTIONS],
    run: async (i) => (await import("../map.ts")).dumpMap(i),
  },
  {
    words: "map get",
    group: "Look",
    summary: "One row of a map",
    arguments: [
      { name: "MAP", summary: "its name, with or without pilus_", required: true },
      { name: "KEY", summary: "as `map dump -o json` shows it", required: true },
    ],
    options: LIST_OPTIONS,
    examples: ["pilus map get ipcache 10.0.1.7"],
    run: async (i) => (await import("../map.ts")).getMapRow(i),
  },
  {
    words: "metrics",
    group: "Look",
    summary: "Everything that is counted",
    options: [
      { name: "prometheus", type: "boolean", summary: "As Prometheus reads it" },
      ...LIST_OPTIONS,
    ],
    run: async (i) => (await import("../metrics.ts")).metrics(i),
  },
];

function list(
  words: string,
  summary: string,
  run: (i: Invocation) => Promise<number | void>,
): Command {
  return { words, group: "Look", summary, options: LIST_OPTIONS, run };
}
