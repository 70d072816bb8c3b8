/** The command that reads flows by Hubble's API. */

import { AGENT_OPTIONS, type Command, type Option } from "../command.ts";

/** What may be asked of either end of a flow. */
const ENDS = [
  ["pod", "NS/POD", "the pod, by the beginning of its name"],
  ["namespace", "NAME", "pods of the namespace"],
  ["ip", "IP", "the address or prefix"],
  ["port", "PORT", "the port"],
  ["identity", "ID", "the identity, by number or name"],
  ["label", "SELECTOR", "the labels"],
  ["service", "NS/NAME", "the service"],
  ["fqdn", "NAME", "the DNS name; `*` stands for any part"],
  ["workload", "KIND/NAME", "the workload"],
  ["cluster", "NAME", "the cluster"],
] as const;

const WAYS = [["", "From or to"], ["from-", "From"], ["to-", "To"]] as const;

const END_OPTIONS: readonly Option[] = ENDS.flatMap(([name, placeholder, what]) =>
  WAYS.map(([way, words]): Option => ({
    name: way + name,
    type: "list",
    placeholder,
    summary: `${words} ${what}`,
    ...(name === "namespace" && way === "" ? { short: "n" } : {}),
    ...(name === "label" && way === "" ? { short: "l" } : {}),
  }))
);

const text = (name: string, placeholder: string, summary: string): Option => ({
  ...{ name, type: "string", placeholder, summary },
});
const list = (name: string, placeholder: string, summary: string): Option => ({
  ...{ name, type: "list", placeholder, summary },
});
const flag = (name: string, summary: string): Option => ({ name, type: "boolean", summary });
const count = (name: string, summary: string): Option => ({
  ...{ name, type: "number", summary, range: [1, Infinity] },
});

const OBSERVE: readonly Option[] = [
  { ...flag("follow", "Go on with flows that come"), short: "f" },
  count("last", "The last so many; 20 without another choice"),
  count("first", "The first so many that are kept"),
  flag("all", "All that are kept"),
  text("since", "AGO", "Since 90s, 1h30m ago or a time"),
  text("until", "AGO", "Until then"),
  ...END_OPTIONS,
  list("verdict", "NAME", "FORWARDED, DROPPED and others"),
  {
    ...list("type", "TYPE", "drop, trace, policy-verdict, trace:to-endpoint and others"),
    short: "t",
  },
  list("drop-reason-desc", "NAME", "Drops for the reason, as POLICY_DENIED"),
  list("protocol", "NAME", "tcp, udp, sctp, icmp, icmpv4, icmpv6, http, dns"),
  list("traffic-direction", "WAY", "ingress or egress"),
  list("ip-version", "VERSION", "v4, v6 or none"),
  list("tcp-flags", "FLAGS", "With the flags; syn+ack: with both"),
  list("interface", "NAME", "Seen at the device"),
  list("node-name", "NAME", "Seen by the node, [CLUSTER/]NAME; `*` stands for any part"),
  list("node-label", "SELECTOR", "Seen by nodes with the labels"),
  list("uuid", "UUID", "The one flow"),
  list("trace-id", "ID", "Of the trace"),
  list("snat-ip", "IP", "Translated to the address"),
  list("http-status", "CODE", "404, 40+ or 5+"),
  list("http-method", "NAME", "The method of HTTP"),
  list("http-path", "REGEX", "The path of HTTP"),
  list("http-url", "REGEX", "The URL of HTTP"),
  list("http-header", "KEY:VALUE", "The header of HTTP"),
  text("allowlist", "JSON", "A filter of Hubble's API: pass what fits"),
  text("denylist", "JSON", "A filter of Hubble's API: leave out what fits"),
  {
    name: "output",
    short: "o",
    type: "string",
    values: ["compact", "dict", "json", "jsonpb", "table", "tab"],
    summary: "How to print",
    default: "compact",
  },
  flag("why", "The deciding rule below each flow, and below drops the command that shows more"),
  flag("numeric", "Addresses in place of names"),
  flag("print-node-name", "Name the node of each flow"),
  flag("print-policy-names", "Name the policies behind verdicts"),
  {
    name: "time-format",
    type: "string",
    values: ["StampMilli", "RFC3339"],
    summary: "How times are printed",
    default: "StampMilli",
  },
  text(
    "server",
    "ADDRESS",
    "unix:///PATH, HOST:PORT or tls://HOST:PORT, or the variable HUBBLE_SERVER; the agent of this node by default",
  ),
  flag("tls", "Speak TLS to the server"),
  text("tls-ca-cert-file", "FILE", "Who may have signed the server's certificate, in PEM"),
  text("tls-server-name", "NAME", "The name in the server's certificate"),
  text("tls-client-cert-file", "FILE", "The own certificate, in PEM"),
  text("tls-client-key-file", "FILE", "Its private key, in PEM"),
  ...AGENT_OPTIONS,
];

export const OBSERVE_COMMAND: Command = {
  words: "observe",
  group: "Follow",
  summary: "Flows of this node or of any server of Hubble's API, as the hubble CLI shows them",
  options: OBSERVE,
  examples: [
    "pilus observe --verdict DROPPED --why",
    "pilus observe --follow --pod demo/web",
    "pilus observe --since 5m --to-port 53 -o json",
  ],
  run: async (i) => (await import("../observe.ts")).observe(i),
};
