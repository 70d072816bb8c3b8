/** `pilus policy get` */

import type { PolicyView } from "../agent/api/views.ts";
import { ask } from "./ask.ts";
import type { Invocation } from "./command.ts";
import { shortLabels } from "./endpoint.ts";
import { formatFields, formatTable, printData } from "./output.ts";

function policyText(p: PolicyView): string {
  const side = ({ enforced }: { enforced: boolean }) =>
    enforced ? "what no rule allows is denied" : "not enforced, everything is allowed";
  const head = formatFields([
    ["Pod", `${p.pod} (endpoint ${p.endpoint})`],
    ["Policy", p.policy ? `${p.policy}, revision ${p.revision}` : "none yet: nothing passes"],
    ["Ingress", side(p.ingress)],
    ["Egress", side(p.egress)],
  ]);
  if (p.rules.length === 0) return head;
  return `${head}\n` + formatTable([
    { title: "DIRECTION", value: (r) => r.direction },
    { title: "VERDICT", value: (r) => r.verdict },
    {
      title: "PEER",
      value: (r) => r.identity === 0 ? "any" : `${r.identity} ${shortLabels(r.labels)}`,
    },
    { title: "PROTO", value: (r) => r.protocol },
    { title: "PORT", value: (r) => r.port },
    { title: "RULE", value: (r) => r.rule },
  ], p.rules);
}

export async function getPolicy({ args, options }: Invocation): Promise<void> {
  const path = `/v1/endpoints/${encodeURIComponent(args[0]!)}/policy`;
  await printData(options, await ask<PolicyView>(options, path), policyText);
}
