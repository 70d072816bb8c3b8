/** `pilus policy get` */

import type { PolicyView } from "../agent/api/views.ts";
import { ask } from "./ask.ts";
import type { Invocation } from "./command.ts";
import { shortLabels } from "./endpoint.ts";
import { formatTable, printData } from "./output.ts";

function policyText(p: PolicyView): string {
  const side = (name: string, enforced: boolean) =>
    `${name}: ${
      enforced ? "what no rule allows is denied" : "not enforced, everything is allowed"
    }`;
  const head = [
    `${p.pod} (endpoint ${p.endpoint}), policy ${p.policy}, revision ${p.revision}`,
    side("ingress", p.ingress.enforced),
    side("egress", p.egress.enforced),
  ].join("\n") + "\n";
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
  printData(options, await ask<PolicyView>(options, path), policyText);
}
