/** Every command of pilus: what help, completion and the parser know. Implementations load when they run. */

import { MAGLEV_SIZES } from "../agent/node/config.ts";
import {
  AGENT_OPTIONS,
  type Argument,
  type Command,
  type Invocation,
  type Option,
  OUTPUT_OPTIONS,
} from "./command.ts";

const LIST_OPTIONS = [...OUTPUT_OPTIONS, ...AGENT_OPTIONS];

const LIMIT: Option = {
  name: "limit",
  type: "number",
  summary: "Rows at most",
  default: 10_000,
  range: [1, Infinity],
};

const PORTS = [1, 65535] as const;

const PORT: Option = { name: "port", type: "number", summary: "From or to the port", range: PORTS };

const PROTOCOL: Option = {
  name: "protocol",
  type: "string",
  placeholder: "NAME",
  summary: "TCP, UDP, SCTP, ICMP or ICMPv6",
};

const IP: Option = {
  name: "ip",
  type: "string",
  placeholder: "IP",
  summary: "From or to the address",
};

const ENDPOINT: Argument = {
  name: "ENDPOINT",
  summary: "its number, or namespace/pod",
  required: true,
};

const AGENT: readonly Option[] = [
  {
    name: "node-name",
    type: "string",
    summary: "This node, as its manifest calls it; the host name by default",
  },
  {
    name: "manifests",
    type: "string",
    placeholder: "DIR",
    summary: "Directory of Kubernetes manifests, watched",
  },
  {
    name: "state-dir",
    type: "string",
    placeholder: "DIR",
    summary: "What must survive the agent",
    default: "/var/lib/pilus",
  },
  {
    name: "run-dir",
    type: "string",
    placeholder: "DIR",
    summary: "Has the socket pilus.sock",
    default: "/run/pilus",
  },
  {
    name: "bpffs",
    type: "string",
    placeholder: "DIR",
    summary: "Directory for pins, on a bpffs",
    default: "/sys/fs/bpf/pilus",
  },
  {
    name: "cgroup",
    type: "string",
    placeholder: "DIR",
    summary: "Services are translated at the sockets of this cgroup v2; the root by default",
  },
  {
    name: "device",
    type: "list",
    placeholder: "NAME",
    summary: "The node's devices; those with a default route by default",
  },
  {
    name: "xdp",
    type: "string",
    values: ["auto", "best", "native", "generic", "off"],
    summary: "Where packets of the devices are met: in the driver, after it, or by tc alone",
    default: "auto",
  },
  {
    name: "local-path",
    type: "string",
    values: ["auto", "on", "off"],
    summary: "TCP within the node goes from socket to socket; auto: where the kernel does it well",
    default: "auto",
  },
  {
    name: "prefilter",
    type: "string",
    placeholder: "FILE",
    summary: "Prefixes that are dropped before anything else, one a line; watched",
  },
  {
    name: "routing",
    type: "string",
    values: ["vxlan", "native"],
    summary: "How pods of other nodes are reached",
    default: "vxlan",
  },
  {
    name: "tunnel-port",
    type: "number",
    summary: "UDP port of the tunnel",
    default: 8472,
    range: PORTS,
  },
  {
    name: "cluster-cidr",
    type: "list",
    placeholder: "CIDR",
    summary: "Where all pods' addresses come from; routes to them have the tunnel's MTU",
  },
  {
    name: "masquerade",
    type: "boolean",
    summary: "Pods take the node's address outside; --no-masquerade: they keep theirs",
    default: true,
  },
  {
    name: "lb-mode",
    type: "string",
    values: ["snat", "dsr", "hybrid"],
    summary: "How clients outside reach backends elsewhere; hybrid: DSR for TCP, SNAT for UDP",
    default: "snat",
  },
  {
    name: "dsr-dispatch",
    type: "string",
    values: ["ipip", "option"],
    summary: "What tells a backend's node of the frontend: an IP tunnel, or an IP option",
    default: "ipip",
  },
  {
    name: "lb-algorithm",
    type: "string",
    values: ["maglev", "random"],
    summary: "How a backend is chosen for clients outside: by table, or by lot",
    default: "maglev",
  },
  {
    name: "maglev-size",
    type: "string",
    values: MAGLEV_SIZES.map(String),
    summary: "Slots of a Maglev table; a hundred times the backends of a service, or more",
    default: "16381",
  },
  {
    name: "node-port-range",
    type: "string",
    placeholder: "FIRST-LAST",
    summary: "Where node ports are taken from",
    default: "30000-32767",
  },
  {
    name: "nat-port-range",
    type: "string",
    placeholder: "FIRST-LAST",
    summary: "Source ports that a flow gets here when its own is taken",
    default: "1024-65535",
  },
  {
    name: "cni-conf-dir",
    type: "string",
    placeholder: "DIR",
    summary: "Where the CNI configuration is written; `none`: nowhere",
    default: "/etc/cni/net.d",
  },
  {
    name: "cni-bin-dir",
    type: "string",
    placeholder: "DIR",
    summary: "Where the plugin is installed; `none`: nowhere",
    default: "/opt/cni/bin",
  },
  {
    name: "map-size",
    type: "list",
    placeholder: "NAME=ROWS",
    summary: "Room in a map, as pilus_ct=1048576",
  },
  {
    name: "repair-interval",
    type: "number",
    placeholder: "SECONDS",
    summary: "Time between comparisons with the kernel",
    default: 30,
  },
  {
    name: "log-level",
    type: "string",
    values: ["error", "warn", "info", "debug"],
    summary: "What is logged",
    default: "info",
  },
  {
    name: "metrics",
    type: "string",
    placeholder: "HOST:PORT",
    summary: "Serves /metrics there; nowhere by default",
  },
];

const MONITOR: readonly Option[] = [
  { name: "drops", type: "boolean", summary: "Drops alone" },
  {
    name: "type",
    type: "list",
    values: ["drop", "trace", "verdict"],
    summary: "These alone; may be given more than once, or with commas",
  },
  { name: "pod", type: "string", placeholder: "NS/POD", summary: "From or to the pod" },
  { name: "from-pod", type: "string", placeholder: "NS/POD", summary: "From the pod" },
  { name: "to-pod", type: "string", placeholder: "NS/POD", summary: "To the pod" },
  IP,
  { name: "from-ip", type: "string", placeholder: "IP", summary: "From the address" },
  { name: "to-ip", type: "string", placeholder: "IP", summary: "To the address" },
  PORT,
  PROTOCOL,
  { name: "identity", type: "number", summary: "From or to the identity" },
  { name: "verdict", type: "string", values: ["forwarded", "dropped"], summary: "Of that verdict" },
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

/** In the order of help within a group. */
export const COMMANDS: readonly Command[] = [
  {
    words: "agent",
    group: "Roles",
    summary: "Run the node agent",
    description:
      "Loads the programs, serves pods and stays until SIGTERM. The datapath outlives it.",
    options: AGENT,
    examples: ["pilus agent --manifests /etc/pilus/manifests"],
    run: async (i) => (await import("./agent.ts")).runAgent(i),
  },
  {
    words: "cni",
    group: "Roles",
    summary: "Act as CNI plugin, as with CNI_COMMAND set",
    run: async () => (await import("./cni/cni.ts")).runCni(),
  },
  {
    words: "demo",
    group: "Roles",
    summary: "Two nodes, pods, a service and a policy on this machine, and who reaches whom",
    description: "Needs root. Leaves nothing behind, unless --keep says so.",
    options: [
      { name: "keep", type: "boolean", summary: "Leave it up to play with" },
      { name: "end", type: "boolean", summary: "End a demo that was kept" },
      {
        name: "routing",
        type: "string",
        values: ["vxlan", "native"],
        summary: "How pods of other nodes are reached",
        default: "vxlan",
      },
      { name: "color", type: "boolean", summary: "--no-color: plain text", default: true },
    ],
    run: async (i) => (await import("./demo.ts")).runDemo(i),
  },
  {
    words: "demo-server",
    group: "Roles",
    hidden: true,
    summary: "A web server of the demo",
    arguments: [
      { name: "NAME", summary: "what it answers", required: true },
      { name: "PORT", summary: "where it listens", required: true },
    ],
    run: async (i) => (await import("./demo.ts")).serveDemo(i),
  },
  {
    words: "demo-fetch",
    group: "Roles",
    hidden: true,
    summary: "A web client of the demo",
    arguments: [{ name: "URL", summary: "what it asks for", required: true }],
    run: async (i) => (await import("./demo.ts")).fetchDemo(i),
  },
  {
    words: "status",
    group: "Look",
    summary: "How the agent and its datapath are",
    description: "Problems come first. Exit code 1 when something is wrong.",
    options: [
      { name: "wait", type: "number", placeholder: "SECONDS", summary: "Wait until all is well" },
      ...LIST_OPTIONS,
    ],
    run: async (i) => (await import("./status.ts")).status(i),
  },
  list(
    "endpoint list",
    "Pods of this node",
    async (i) => (await import("./endpoint.ts")).listEndpoints(i),
  ),
  {
    words: "endpoint get",
    group: "Look",
    summary: "All about one pod",
    arguments: [ENDPOINT],
    options: LIST_OPTIONS,
    run: async (i) => (await import("./endpoint.ts")).getEndpoint(i),
  },
  list(
    "identity list",
    "Numbers of label sets",
    async (i) => (await import("./identity.ts")).listIdentities(i),
  ),
  list("node list", "Nodes of the cluster", async (i) => (await import("./node.ts")).listNodes(i)),
  list(
    "service list",
    "Services and their backends",
    async (i) => (await import("./service.ts")).listServices(i),
  ),
  {
    words: "service get",
    group: "Look",
    summary: "All about one service",
    arguments: [{ name: "SERVICE", summary: "namespace/name, or a number", required: true }],
    options: LIST_OPTIONS,
    examples: ["pilus service get demo/web"],
    run: async (i) => (await import("./service.ts")).getService(i),
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
        placeholder: "ADDRESS[:PORT]",
        summary: "The client; a process of this node by default",
      },
      ...LIST_OPTIONS,
    ],
    examples: ["pilus service trace 192.0.2.80:443 --from 198.51.100.7:40000"],
    run: async (i) => (await import("./service_trace.ts")).traceService(i),
  },
  {
    words: "lb list",
    group: "Look",
    summary: "The load balancer as the kernel has it",
    options: [
      { name: "frontends", type: "boolean", summary: "Frontends and their settings" },
      { name: "backends", type: "boolean", summary: "Backends, how often chosen, for whom" },
      { name: "source-ranges", type: "boolean", summary: "Prefixes that services answer" },
      { name: "maglev", type: "boolean", summary: "Maglev tables and the backends' shares" },
      ...LIST_OPTIONS,
    ],
    run: async (i) => (await import("./lb.ts")).listBalancer(i),
  },
  {
    words: "nat list",
    group: "Look",
    summary: "Flows whose addresses are translated",
    options: [PROTOCOL, LIMIT, ...LIST_OPTIONS],
    run: async (i) => (await import("./nat.ts")).listMappings(i),
  },
  {
    words: "policy get",
    group: "Look",
    summary: "The rules that a pod is judged by, as the kernel has them",
    arguments: [ENDPOINT],
    options: LIST_OPTIONS,
    examples: ["pilus policy get demo/web-a"],
    run: async (i) => (await import("./policy.ts")).getPolicy(i),
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
    run: async (i) => (await import("./ct.ts")).listConnections(i),
  },
  list(
    "prefilter list",
    "Prefixes that the node does not listen to, and what was dropped",
    async (i) => (await import("./prefilter.ts")).listPrefilter(i),
  ),
  list(
    "ipcache list",
    "What each address is",
    async (i) => (await import("./ipcache.ts")).listIpcache(i),
  ),
  list(
    "map list",
    "eBPF maps and how full they are",
    async (i) => (await import("./map.ts")).listMaps(i),
  ),
  {
    words: "map dump",
    group: "Look",
    summary: "The rows of a map, decoded",
    arguments: [{ name: "MAP", summary: "its name, with or without pilus_", required: true }],
    options: [LIMIT, ...LIST_OPTIONS],
    run: async (i) => (await import("./map.ts")).dumpMap(i),
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
    run: async (i) => (await import("./map.ts")).getMapRow(i),
  },
  {
    words: "metrics",
    group: "Look",
    summary: "Everything that is counted",
    options: [
      { name: "prometheus", type: "boolean", summary: "As Prometheus reads it" },
      ...LIST_OPTIONS,
    ],
    run: async (i) => (await import("./metrics.ts")).metrics(i),
  },
  {
    words: "monitor",
    group: "Follow",
    summary: "Drops, verdicts and traces as they happen",
    options: MONITOR,
    examples: ["pilus monitor --drops", "pilus monitor --pod demo/web -o json"],
    run: async (i) => (await import("./monitor.ts")).monitor(i),
  },
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
    run: async (i) => (await import("./trace_level.ts")).setTraceLevel(i),
  },
  {
    words: "ct flush",
    group: "Change",
    summary: "Forget all connections; live ones are judged anew",
    options: [
      { name: "yes", type: "boolean", summary: "Do it without asking" },
      ...AGENT_OPTIONS,
    ],
    run: async (i) => (await import("./ct.ts")).flushConnections(i),
  },
  {
    words: "version",
    group: "Help",
    summary: "The version",
    options: OUTPUT_OPTIONS,
    run: async (i) => (await import("./version.ts")).version(i),
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
    run: async (i) => (await import("./completion.ts")).printCompletion(i, COMMANDS),
  },
];

function list(
  words: string,
  summary: string,
  run: (i: Invocation) => Promise<number | void>,
): Command {
  return { words, group: "Look", summary, options: LIST_OPTIONS, run };
}
