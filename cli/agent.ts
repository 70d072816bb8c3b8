/** `pilus agent`: runs the agent until it is told to stop. */

import { Log, type LogLevel } from "../agent/core/log.ts";
import { Agent } from "../agent/node/agent.ts";
import { findCgroup } from "../agent/node/cgroup.ts";
import {
  type AgentConfig,
  type DsrDispatch,
  type LbAlgorithm,
  type LbMode,
  type LocalPathChoice,
  MAP_SIZE_NAMES,
  type MapSizes,
  type RoutingMode,
  type XdpChoice,
} from "../agent/node/config.ts";
import { EXIT, type Invocation, type OptionValues, UsageError } from "./command.ts";

/** The exit code when a signal ended the agent in good order is 0. */
export async function runAgent({ options }: Invocation): Promise<number> {
  const config = agentConfig(options);
  const log = new Log(config.logLevel);
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    log.error("unhandled failure", { error: String(event.reason?.stack ?? event.reason) });
  });
  const stopped = Promise.withResolvers<string>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    Deno.addSignalListener(signal, () => stopped.resolve(signal));
  }
  const agent = await Promise.race([Agent.start(config, log), stopped.promise]);
  if (typeof agent === "string") Deno.exit(EXIT.ok);
  const signal = await stopped.promise;
  log.info("stopping; the datapath stays in place", { signal });
  await agent[Symbol.asyncDispose]();
  return EXIT.ok;
}

function agentConfig(options: OptionValues): AgentConfig {
  const text = (name: string) => String(options[name] ?? "");
  const list = (name: string) => (options[name] as string[] | undefined) ?? [];
  const directory = (name: string) => text(name) === "none" ? "" : text(name);
  if (!text("manifests")) {
    throw new UsageError("`agent` needs --manifests: the directory of Kubernetes manifests");
  }
  return {
    nodeName: text("node-name") || Deno.hostname(),
    manifests: text("manifests"),
    stateDir: text("state-dir"),
    runDir: text("run-dir"),
    bpffs: text("bpffs"),
    cgroup: text("cgroup") || findCgroup(),
    devices: list("device"),
    xdp: text("xdp") as XdpChoice,
    localPath: text("local-path") as LocalPathChoice,
    prefilter: text("prefilter"),
    routing: text("routing") as RoutingMode,
    tunnelPort: Number(options["tunnel-port"]),
    clusterCidrs: list("cluster-cidr"),
    masquerade: options.masquerade !== false,
    lbMode: text("lb-mode") as LbMode,
    dsrDispatch: text("dsr-dispatch") as DsrDispatch,
    lbAlgorithm: text("lb-algorithm") as LbAlgorithm,
    maglevSize: Number(text("maglev-size")),
    nodePortRange: portRange("node-port-range", text("node-port-range")),
    natPortRange: portRange("nat-port-range", text("nat-port-range")),
    cniConfDir: directory("cni-conf-dir"),
    cniBinDir: directory("cni-bin-dir"),
    mapSizes: mapSizes(list("map-size")),
    repairInterval: Number(options["repair-interval"]),
    logLevel: text("log-level") as LogLevel,
    metrics: text("metrics"),
  };
}

function portRange(option: string, text: string): [number, number] {
  const [first = 0, last = 0] = /^[0-9]+-[0-9]+$/.test(text) ? text.split("-").map(Number) : [];
  if (first < 1 || last < first || last > 65535) {
    throw new UsageError(`--${option} takes FIRST-LAST, such as 30000-32767, not \`${text}\``);
  }
  return [first, last];
}

function mapSizes(texts: readonly string[]): MapSizes {
  const sizes: Record<string, number> = {};
  for (const text of texts) {
    const [name = "", rows = ""] = text.split("=");
    if (!(MAP_SIZE_NAMES as readonly string[]).includes(name) || !/^[1-9][0-9]*$/.test(rows)) {
      throw new UsageError(
        `--map-size takes NAME=ROWS, not \`${text}\`; the names are ${MAP_SIZE_NAMES.join(", ")}`,
      );
    }
    sizes[name] = Number(rows);
  }
  return sizes;
}
