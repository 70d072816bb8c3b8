/** `pilus identity list` */

import type { IdentityView } from "../agent/api/views.ts";
import { ask } from "./ask.ts";
import type { Invocation } from "./command.ts";
import { printRows } from "./output.ts";

export async function listIdentities({ options }: Invocation): Promise<void> {
  await printRows(options, await ask<IdentityView[]>(options, "/v1/identities"), [
    { title: "ID", value: (i) => i.id, align: "right" },
    { title: "ENDPOINTS", value: (i) => i.endpoints, align: "right" },
    { title: "LABELS", value: (i) => i.labels.join(" ") },
  ], "No identities");
}
