/** Commands that run as something: the agent, the plugin, the demo. */

import { ALL_OPTIONS, OPTIONS } from "../../agent/node/options.ts";
import { type Command, OUTPUT_OPTIONS } from "../command.ts";
import { RELAY_COMMAND } from "./relay.ts";
import { CONFIG } from "./shared.ts";

export const ROLES: readonly Command[] = [
  {
    words: "agent",
    group: "Roles",
    summary: "Run the node agent",
    description:
      "Loads the programs, serves pods and stays until SIGTERM. The datapath outlives it.",
    options: [
      ...ALL_OPTIONS,
      CONFIG,
      {
        name: "print-config",
        type: "boolean",
        summary: "Print what is in force and where it is from, and end",
      },
      ...OUTPUT_OPTIONS,
    ],
    examples: [
      "pilus agent",
      "pilus agent --manifests /srv/cluster --cluster-cidr 10.60.0.0/16,fd60::/16",
      "pilus agent --config /etc/pilus/agent.yaml --print-config",
    ],
    run: async (i) => (await import("../agent.ts")).runAgent(i),
  },
  {
    words: "cni",
    group: "Roles",
    summary: "Act as CNI plugin, as with CNI_COMMAND set",
    run: async () => (await import("../cni/cni.ts")).runCni(),
  },
  {
    words: "operator",
    group: "Roles",
    summary: "Delete identities that no pod has; one of several does it",
    description: "Stays until SIGTERM. Several may run: the one that holds the Lease " +
      "pilus-operator works. Needs no rights on a node.",
    options: [
      OPTIONS.kubeconfig,
      OPTIONS.apiServers,
      {
        name: "namespace",
        type: "string",
        summary: "Where the Lease is",
        placeholder: "NAME",
        default: "kube-system",
      },
      {
        name: "identity-unused",
        type: "number",
        summary: "Minutes that an identity has to be unused before it is deleted",
        placeholder: "MINUTES",
        default: 15,
      },
      OPTIONS.logLevel,
    ],
    examples: ["pilus operator", "pilus operator --kubeconfig /etc/pilus/kubeconfig"],
    run: async (i) => (await import("../operator.ts")).operator(i),
  },
  {
    words: "manifest",
    group: "Roles",
    summary: "Print what an API server needs for pilus, for kubectl apply",
    description: "The CustomResourceDefinitions by which nodes tell each other of pods and " +
      "identities with --cluster-store kubernetes, and service accounts whose roles are what " +
      "nodes and the operator ask for.",
    examples: ["pilus manifest | kubectl apply -f -"],
    run: async () => (await import("../manifest.ts")).printManifest(),
  },
  RELAY_COMMAND,
  {
    words: "demo",
    group: "Roles",
    summary: "Two nodes, pods, a service and a policy on this machine, and what reaches what",
    description: "Needs root. Leaves nothing behind, unless --keep says so.",
    options: [
      { name: "keep", type: "boolean", summary: "Leave it up to play with" },
      { name: "end", type: "boolean", summary: "End a demo that was kept" },
      OPTIONS.routing,
      { name: "color", type: "boolean", summary: "--no-color: plain text", default: true },
    ],
    run: async (i) => (await import("../demo.ts")).runDemo(i),
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
    run: async (i) => (await import("../demo_server.ts")).serveDemo(i),
  },
  {
    words: "demo-fetch",
    group: "Roles",
    hidden: true,
    summary: "A web client of the demo",
    arguments: [{ name: "URL", summary: "what it asks for", required: true }],
    run: async (i) => (await import("../demo_server.ts")).fetchDemo(i),
  },
];
