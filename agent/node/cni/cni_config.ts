/** Tells the container runtime that pilus is the network. */

import { fileInfo } from "../../core/missing_files.ts";
import { removeDrafts, writeWhole } from "../../core/whole_file.ts";

/** Name of the configuration: sorts before what others leave there. */
export const CNI_CONFIG_NAME = "05-pilus.conflist";

/** Versions of the specification that the configuration offers: from the first one with CHECK. */
const CONFIG_VERSIONS = ["0.4.0", "1.0.0", "1.1.0"];

/** Options for {@linkcode writeCniConfig}. */
export interface CniConfigOptions {
  /** @default {"/etc/cni/net.d"} */
  directory?: string;
  socket: string;
  stateDir: string;
}

/**
 * Writes the configuration list, whole or not at all, unless it is there: to be called when the agent
 * is ready. Returns its path.
 */
export function writeCniConfig(
  { directory = "/etc/cni/net.d", socket, stateDir }: CniConfigOptions,
): string {
  const config = {
    // runtimes that know the list take the newest of it that they speak; the others, as podman 4 and
    // containerd 1.6, take this one and refuse what they do not know
    cniVersion: CONFIG_VERSIONS[0],
    cniVersions: CONFIG_VERSIONS,
    name: "pilus",
    plugins: [{ type: "pilus", socket, stateDir }],
  };
  Deno.mkdirSync(directory, { recursive: true });
  const path = `${directory}/${CNI_CONFIG_NAME}`;
  const text = JSON.stringify(config, null, 2) + "\n";
  removeDrafts(path);
  // runtimes load the directory anew with each change
  if (!fileInfo(path)?.isFile || Deno.readTextFileSync(path) !== text) writeWhole(path, text);
  return path;
}
