/** `pilus ipcache list` */

import type { IpcacheView } from "../agent/api/views.ts";
import { ask } from "./ask.ts";
import type { Invocation } from "./command.ts";
import { printRows } from "./output.ts";

export async function listIpcache({ options }: Invocation): Promise<void> {
  await printRows(options, await ask<IpcacheView[]>(options, "/v1/ipcache"), [
    { title: "ADDRESS", value: (r) => r.prefix },
    { title: "IDENTITY", value: (r) => r.identity, align: "right" },
    { title: "KIND", value: (r) => r.kind },
    { title: "TUNNEL TO", value: (r) => r.tunnel },
  ], "Nothing is known of any address");
}
