/** Options that several commands have. */

import { AGENT_OPTIONS, type Option, OUTPUT_OPTIONS } from "../command.ts";

/** Of what asks the agent and prints rows. */
export const LIST_OPTIONS: readonly Option[] = [...OUTPUT_OPTIONS, ...AGENT_OPTIONS];

/** The agent's configuration; the strongest first are the flag, the environment and the file. */
export const CONFIG: Option = {
  name: "config",
  type: "string",
  placeholder: "FILE",
  summary: "YAML with options by name; flags and PILUS_ variables come before it",
};

export const LIMIT: Option = {
  name: "limit",
  type: "number",
  summary: "Rows at most",
  default: 10_000,
  range: [1, Infinity],
};

export const PORT: Option = {
  name: "port",
  type: "number",
  summary: "From or to the port",
  range: [1, 65535],
};

export const PROTOCOL: Option = {
  name: "protocol",
  type: "string",
  placeholder: "NAME",
  summary: "TCP, UDP, SCTP, ICMP, ICMPv6 or a number",
};

export const IP: Option = {
  name: "ip",
  type: "string",
  placeholder: "IP",
  summary: "From or to the address",
};
