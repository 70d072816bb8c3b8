/** `pilus node list` */

import type { NodeView } from "../agent/api/views.ts";
import { ask } from "./ask.ts";
import type { Invocation } from "./command.ts";
import { printRows } from "./output.ts";

export async function listNodes({ options }: Invocation): Promise<void> {
  await printRows(options, await ask<NodeView[]>(options, "/v1/nodes"), [
    { title: "NAME", value: (n) => n.local ? `${n.name} (this)` : n.name },
    { title: "IPV4", value: (n) => n.ipv4 },
    { title: "IPV6", value: (n) => n.ipv6 },
    { title: "POD CIDRS", value: (n) => n.podCidrs.join(" ") },
  ], "No nodes: the manifests have no Node");
}
