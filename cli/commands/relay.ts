/** The command that serves the flows of many nodes. */

import type { Command } from "../command.ts";

export const RELAY_COMMAND: Command = {
  words: "relay",
  group: "Roles",
  summary: "Serve the flows of many nodes at one address, by Hubble's API",
  description: "Asks the nodes that a peer service tells of, or those that are given, for each " +
    "call; loads nothing of the kernel and runs anywhere.",
  options: [
    {
      name: "listen",
      type: "string",
      placeholder: "HOST:PORT",
      summary: "Where it serves",
      default: "127.0.0.1:4245",
    },
    {
      name: "peer-service",
      type: "string",
      placeholder: "ADDRESS",
      summary:
        "Who tells of nodes: unix:///PATH, HOST:PORT or tls://HOST:PORT; the agent of this " +
        "node by default",
    },
    {
      name: "peer",
      type: "list",
      placeholder: "ADDRESS",
      summary: "A node's server, in place of a peer service",
    },
    { name: "tls", type: "boolean", summary: "Speak TLS to all of them" },
    {
      name: "tls-ca-cert-file",
      type: "string",
      placeholder: "FILE",
      summary: "Who may have signed their certificates, in PEM",
    },
    {
      name: "tls-cert",
      type: "string",
      placeholder: "FILE",
      summary: "The own certificate, in PEM",
    },
    { name: "tls-key", type: "string", placeholder: "FILE", summary: "Its private key, in PEM" },
  ],
  examples: [
    "pilus relay",
    "pilus relay --peer 10.0.0.1:4244,10.0.0.2:4244",
    "pilus observe --server 127.0.0.1:4245",
  ],
  run: async (i) => (await import("../relay.ts")).relay(i),
};
