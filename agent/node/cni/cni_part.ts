/** CNI: what runtimes ask the agent, and what tells them of it: configuration and plugin. */

import type { Log } from "../../core/log.ts";
import { fileInfo } from "../../core/missing_files.ts";
import { periodically } from "../../core/periodic.ts";
import type { Health } from "../../api/views.ts";
import type { AgentConfig } from "../config.ts";
import type { EndpointManager } from "../endpoints/endpoint_manager.ts";
import type { Part } from "../part.ts";
import { writeCniConfig } from "./cni_config.ts";
import { cniRoute } from "./cni_route.ts";
import { installPlugin, pluginFault, pluginPath } from "./plugin_program.ts";

/** What {@linkcode cniPart} takes. */
export interface CniPartOptions {
  config: Pick<AgentConfig, "cniBinDir" | "cniConfDir" | "stateDir" | "repairInterval">;
  log: Log;
  manager: EndpointManager;
  health: () => Health;
}

/** See the module. */
export interface CniPart extends Part {
  /** Puts plugin and configuration where runtimes look, and again whenever they have gone. */
  offer(socket: string): Promise<void>;
}

/** Changes with the file; undefined when there is none. */
function fileMark(directory: string): string | undefined {
  const info = fileInfo(pluginPath(directory));
  return info && [info.ino, info.size, info.mode, info.mtime?.getTime()].join();
}

/** Wires runtimes to the manager. What cannot be put into its directory is a fault, and tried again. */
export function cniPart({ config, log, manager, health }: CniPartOptions): CniPart {
  const { cniBinDir, cniConfDir, stateDir, repairInterval } = config;
  const stack = new DisposableStack();
  let fault: string | undefined = "the CNI plugin and its configuration are not there yet";
  let offering: Promise<void> = Promise.resolve();
  /** The installed file when it was last tried. */
  let tested: string | undefined;

  const install = async () => {
    if (!cniBinDir || tested !== undefined && tested === fileMark(cniBinDir)) return;
    if (installPlugin(cniBinDir)) log.info("CNI plugin installed", { directory: cniBinDir });
    const reason = await pluginFault(cniBinDir);
    if (reason !== undefined) throw new Error(reason);
    tested = fileMark(cniBinDir);
  };
  const put = async (socket: string): Promise<string | undefined> => {
    try {
      await install();
      if (cniConfDir) writeCniConfig({ directory: cniConfDir, socket, stateDir });
      return undefined;
    } catch (error) {
      return `pods cannot be added: CNI plugin or configuration: ${(error as Error).message}`;
    }
  };
  const offer = async (socket: string) => {
    const before = fault;
    fault = await put(socket);
    if (fault !== undefined && fault !== before) log.error(fault);
  };

  return {
    name: "cni",
    routes: cniRoute({ manager, stateDir, health }),
    health: () => fault,
    async offer(socket) {
      await offer(socket);
      const onError = (error: unknown) => log.error("CNI plugin", { error: String(error) });
      const again = () => offering = offer(socket);
      stack.use(periodically(repairInterval * 1000, again, onError));
    },
    async [Symbol.asyncDispose]() {
      stack.dispose();
      await offering;
    },
  };
}
