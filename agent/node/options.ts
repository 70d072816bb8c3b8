/**
 * The agent's options: the one place that says what each is called, what it takes and what applies
 * without it. The command line, its help and completion, the environment (PILUS_NODE_NAME for
 * `node-name`), files for --config, the documentation and {@linkcode AgentConfig} come from here. Loads
 * nothing of the kernel.
 */

import type { RoutingMode } from "../../datapath/loader.ts";
import type { SockmapChoice } from "../../datapath/sockmap.ts";
import type { XdpChoice } from "../../datapath/xdp_device.ts";
import { DEFAULT_STATE_DIR } from "../api/types.ts";
import { LOG_LEVELS } from "../core/log.ts";
import { findCgroup } from "./cgroup.ts";
import { SIZED_MAPS } from "./map_sizes.ts";
import {
  addresses,
  type AgentOption,
  choice,
  cidrs,
  directoryOrNone,
  hostPort,
  list,
  mapSizes,
  number,
  numberChoice,
  podCidrs,
  port,
  portRange,
  text,
  toggle,
  urls,
} from "./option_kinds.ts";

/** Primes that a Maglev table may have as its size; the same as Cilium's. */
export const MAGLEV_SIZES = [
  ...[251, 509, 1021, 2039, 4093, 8191],
  ...[16381, 32749, 65521, 131071],
] as const;

/** By the name that the value has in {@linkcode AgentConfig}, in the order of help. */
export const OPTIONS = {
  nodeName: text({
    name: "node-name",
    summary: "This node, as its manifest calls it; the host name in lower case by default",
    placeholder: "NAME",
    find: () => Deno.hostname().toLowerCase(),
  }),
  manifests: text({
    name: "manifests",
    summary: "Directory of Kubernetes manifests, watched; made when it is not there",
    placeholder: "DIR",
    default: "/etc/pilus/manifests",
  }),
  kubernetes: toggle({
    name: "kubernetes",
    summary: "Read resources from the API server of Kubernetes, beside the manifests",
    default: false,
  }),
  kubeconfig: text({
    name: "kubeconfig",
    summary: "How the API server is reached, and as whom; by default by the service account of " +
      "the agent's pod",
    placeholder: "FILE",
    default: "",
  }),
  apiServers: urls({
    name: "api-server",
    summary: "URLs of API servers, in place of the one of the kubeconfig or of the environment: " +
      "without kube-proxy one that needs no Service",
    placeholder: "URL",
    default: [],
  }),
  clusterStore: choice(["files", "kubernetes", "etcd"], {
    name: "cluster-store",
    summary: "Where nodes tell each other of pods and identities: in the directory of manifests, " +
      "which they then share, as objects of the API server, or in etcd",
    default: "files",
  }),
  etcdConfig: text({
    name: "etcd-config",
    summary: "How etcd is reached, in the form of Cilium's file: endpoints, and the paths " +
      "trusted-ca-file, cert-file and key-file",
    placeholder: "FILE",
    default: "",
  }),
  stateDir: text({
    name: "state-dir",
    summary: "What must survive the agent",
    placeholder: "DIR",
    default: DEFAULT_STATE_DIR,
  }),
  runDir: text({
    name: "run-dir",
    summary: "Has the sockets pilus.sock and hubble.sock",
    placeholder: "DIR",
    default: "/run/pilus",
  }),
  bpffs: text({
    name: "bpffs",
    summary: "Directory for pins, on a bpffs",
    placeholder: "DIR",
    default: "/sys/fs/bpf/pilus",
  }),
  cgroup: text({
    name: "cgroup",
    summary: "Services are translated at the sockets of this cgroup v2; the root by default",
    placeholder: "DIR",
    find: findCgroup,
  }),
  devices: list({
    name: "device",
    summary: "The node's devices; those with a default route by default",
    placeholder: "NAME",
    default: [],
  }),
  xdp: choice(["auto", "best", "native", "generic", "off"] satisfies XdpChoice[], {
    name: "xdp",
    summary: "Where packets of the devices are met: in the driver, after it, or by tc alone",
    default: "auto",
  }),
  sockmap: choice(["auto", "on", "off"] satisfies SockmapChoice[], {
    name: "sockmap",
    summary: "TCP within the node goes from socket to socket; auto: where the kernel does it well",
    default: "auto",
  }),
  prefilter: text({
    name: "prefilter",
    summary: "Prefixes that are dropped before anything else, one a line; watched",
    placeholder: "FILE",
    default: "",
  }),
  routing: choice(["vxlan", "native"] satisfies RoutingMode[], {
    name: "routing",
    summary: "How pods of other nodes are reached",
    default: "vxlan",
  }),
  tunnelPort: port({
    name: "tunnel-port",
    summary: "UDP port of the tunnel",
    default: 8472,
  }),
  clusterCidrs: cidrs({
    name: "cluster-cidr",
    summary: "Where all pods' addresses come from; routes to them have the tunnel's MTU",
    placeholder: "CIDR",
    default: [],
  }),
  podCidrs: podCidrs({
    name: "pod-cidr",
    summary: "Where this node's pods get their addresses while no manifest has a Node; `none`: " +
      "the agent waits for its Node instead",
    default: ["10.222.0.0/24", "fd70:696c:7573::/64"],
  }),
  kubeApiserver: addresses({
    name: "kube-apiserver",
    summary:
      "Addresses of the API server, for the entity kube-apiserver of policies, beside those " +
      "of the EndpointSlices of default/kubernetes",
    placeholder: "ADDRESS",
    default: [],
  }),
  masquerade: toggle({
    name: "masquerade",
    summary: "Masquerade pods to the world; --no-masquerade: they keep their addresses",
    default: true,
  }),
  nodeMacCheck: toggle({
    name: "node-mac-check",
    summary: "What another node on the link sends must have the MAC that it is known by; " +
      "--no-node-mac-check for bonds that send by several (balance-tlb, balance-alb)",
    default: true,
  }),
  lbMode: choice(["snat", "dsr", "hybrid"], {
    name: "lb-mode",
    summary: "How external clients reach remote backends; hybrid: DSR for TCP, SNAT for UDP",
    default: "snat",
  }),
  dsrDispatch: choice(["ipip", "option"], {
    name: "dsr-dispatch",
    summary: "What carries the frontend to a backend's node: an IP tunnel, or an IP option",
    default: "ipip",
  }),
  lbAlgorithm: choice(["maglev", "random"], {
    name: "lb-algorithm",
    summary: "How a backend is chosen for external clients: Maglev table or random",
    default: "maglev",
  }),
  maglevSize: numberChoice(MAGLEV_SIZES, {
    name: "maglev-size",
    summary: "Slots of a Maglev table; a hundred times the backends of a service, or more",
    default: "16381",
  }),
  nodePortRange: portRange({
    name: "node-port-range",
    summary: "Where node ports are taken from",
    default: "30000-32767",
  }),
  natPortRange: portRange({
    name: "nat-port-range",
    summary: "Source ports that a flow gets here when its own is taken",
    default: "1024-65535",
  }),
  initEnforcement: choice(["always", "default"], {
    name: "init-enforcement",
    summary: "Pods without manifest are denied what no policy allows; default: as any pod, open " +
      "until a policy selects them",
    default: "always",
  }),
  manifestWait: number([0, 30], {
    name: "manifest-wait",
    summary: "How long CNI ADD waits for the pod's manifest, to go on without it then",
    placeholder: "SECONDS",
    default: 5,
  }),
  cniConfDir: directoryOrNone({
    name: "cni-conf-dir",
    summary: "Where the CNI configuration is written; `none`: nowhere",
    default: "/etc/cni/net.d",
  }),
  cniBinDir: directoryOrNone({
    name: "cni-bin-dir",
    summary: "Where the plugin is installed; `none`: nowhere",
    default: "/opt/cni/bin",
  }),
  mapSizes: mapSizes(SIZED_MAPS, {
    name: "map-size",
    summary: "Room in a map, as pilus_ct=1048576",
    default: [],
  }),
  /** Of each type so many, 96 bytes each; memory that was never used takes none. */
  flowBuffer: number([1024, 1_048_576], {
    name: "flow-buffer",
    summary: "Flows of each type that are kept, for slow monitors and to look back at",
    placeholder: "FLOWS",
    default: 65_536,
  }),
  hubble: hostPort({
    name: "hubble",
    summary: "Serves Hubble's API there, beside the socket hubble.sock; nowhere by default",
    default: "",
  }),
  hubbleTlsCert: text({
    name: "hubble-tls-cert",
    summary: "Certificate of Hubble's API, in PEM; needed on all addresses but the loopback",
    placeholder: "FILE",
    default: "",
  }),
  hubbleTlsKey: text({
    name: "hubble-tls-key",
    summary: "Private key of that certificate, in PEM",
    placeholder: "FILE",
    default: "",
  }),
  repairInterval: number([1, 86_400], {
    name: "repair-interval",
    summary: "Time between comparisons with the kernel",
    placeholder: "SECONDS",
    default: 30,
  }),
  logLevel: choice(LOG_LEVELS, {
    name: "log-level",
    summary: "What is logged",
    default: "info",
  }),
  metrics: hostPort({
    name: "metrics",
    summary: "Serves /metrics there; nowhere by default",
    default: "",
  }),
};

/** A value as options have it, before it becomes part of the configuration. */
export type Given = string | number | boolean | readonly string[];

/** The options, for code that takes them one as the other. */
export const ALL_OPTIONS = Object.values(OPTIONS) as unknown as readonly AgentOption<
  Given,
  unknown
>[];

type Options = typeof OPTIONS;

/** What an agent is started with. */
export type AgentConfig = {
  [Key in keyof Options]: Options[Key] extends AgentOption<infer _, infer Value> ? Value : never;
};

/** The option as a variable of the environment. */
export function variableOf({ name }: { name: string }): string {
  return `PILUS_${name.toUpperCase().replaceAll("-", "_")}`;
}
