/** What pilus has put into file systems: state, socket, CNI configuration and plugin, publications. */

import { join } from "@std/path";
import { PUBLISHED } from "../../cluster/files/paths.ts";
import { ATTACHMENTS } from "../attachments/attachment_record.ts";
import { COPIES } from "../endpoints/endpoint_copies.ts";
import { CNI_CONFIG_NAME } from "../cni/cni_config.ts";
import { RESERVED_PORTS } from "../services/reserved_ports.ts";
import { fileInfo } from "../../core/missing_files.ts";
import { draftsOf } from "../../core/whole_file.ts";
import { pluginPath } from "../cni/plugin_program.ts";
import { ownDirectory, pathRemoval } from "./paths.ts";
import type { Left, Removal, UninstallPlan } from "./removal.ts";

/** Where the agent's options have put files. */
export interface InstalledFiles {
  stateDir: string;
  runDir: string;
  /** Empty: no configuration was written. */
  cniConfDir: string;
  /** Empty: no plugin was installed. */
  cniBinDir: string;
  manifests: string;
  nodeName: string;
}

/** Names within the state directory. */
const STATE = /^((pilus|kubernetes)\.db(-wal|-shm|-journal|\.broken)?|last-good|delete-queue)$/;

export function filesPlan(installed: InstalledFiles): UninstallPlan {
  const parts = [
    cniFiles(installed),
    publications(installed),
    ownDirectory(
      installed.runDir,
      (name) => ["pilus.sock", "hubble.sock", COPIES, RESERVED_PORTS, ATTACHMENTS].includes(name),
    ),
    ownDirectory(installed.stateDir, (name) => STATE.test(name)),
  ];
  return {
    removals: parts.flatMap(({ removals }) => removals),
    left: parts.flatMap(({ left }) => left),
  };
}

function cniFiles({ cniConfDir, cniBinDir }: InstalledFiles): UninstallPlan {
  const removals: Removal[] = [], left: Left[] = [];
  const config = join(cniConfDir, CNI_CONFIG_NAME);
  if (cniConfDir && fileInfo(config)) {
    if (namesPilus(config)) removals.push(pathRemoval(config));
    else left.push({ what: config, why: "it does not name pilus as its plugin" });
  }
  const plugin = pluginPath(cniBinDir);
  if (cniBinDir && fileInfo(plugin)) {
    if (plugin !== Deno.execPath()) removals.push(pathRemoval(plugin));
    else left.push({ what: plugin, why: "it is the program that runs now" });
  }
  if (cniConfDir) removals.push(...draftsOf(config).map((draft) => pathRemoval(draft)));
  if (cniBinDir) removals.push(...draftsOf(plugin).map((draft) => pathRemoval(draft)));
  return { removals, left };
}

function namesPilus(config: string): boolean {
  try {
    const { plugins } = JSON.parse(Deno.readTextFileSync(config));
    return plugins[0].type === "pilus";
  } catch {
    return false;
  }
}

function publications({ manifests, nodeName }: InstalledFiles): UninstallPlan {
  const endpoints = join(manifests, PUBLISHED, "endpoints", nodeName);
  const identities = join(manifests, PUBLISHED, "identities");
  return {
    removals: fileInfo(endpoints) ? [pathRemoval(endpoints)] : [],
    left: fileInfo(identities) ? [{ what: identities, why: "the nodes share it" }] : [],
  };
}
