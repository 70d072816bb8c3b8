/** Puts the routes to other nodes back as soon as the kernel has taken them, or can have them again. */

import type { Notice } from "../../../datapath/net/notices.ts";
import type { Reconciler } from "../../core/reconciler.ts";
import type { Kernel } from "../kernel.ts";
import { type NodeRoute, ROUTE_PROTOCOL } from "./route_target.ts";

/** Watches for it until it is disposed. */
export function restoreRoutes(
  routing: Reconciler<NodeRoute>,
  { facts, devices, tunnel }: Pick<Kernel, "facts" | "devices" | "tunnel">,
): Disposable {
  const concerns = (notice: Notice): boolean => {
    switch (notice.kind) {
      case "overrun":
        return true;
      case "route":
        return notice.gone && notice.route.protocol === ROUTE_PROTOCOL;
      case "link": {
        // with a device that goes down those of IPv4 go, which the kernel does not tell
        const { ifindex } = notice.link;
        return ifindex === tunnel || devices.rows().some((device) => device.ifindex === ifindex);
      }
    }
    return false;
  };
  /** Whether a next hop may be reached now that was not. */
  const helps = (notice: Notice) =>
    notice.kind === "address" && !notice.gone ||
    notice.kind === "route" && !notice.gone && notice.route.protocol !== ROUTE_PROTOCOL;
  /** What could not be set waits to be tried again; what cannot be set now either, status says. */
  const retry = () => routing.flush().catch(() => {});
  return facts.listen((notices) => {
    if (notices.some(concerns)) void routing.repair().then(retry);
    else if (routing.status().errors > 0 && notices.some(helps)) void retry();
  });
}
