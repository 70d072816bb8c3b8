/** Tells the container runtime that pilus is the network: configuration and plugin binary. */

import { replaceWhole, writeWhole } from "../../core/whole_file.ts";

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
 * Writes the configuration list, whole or not at all: to be called when the agent is ready.
 * Returns its path.
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
  writeWhole(path, JSON.stringify(config, null, 2) + "\n");
  return path;
}

/**
 * Puts the program into the runtime's plugin directory as `pilus`: a hard link where the file
 * system allows, else a copy. Returns its path.
 */
export function installCniBinary(
  program: string,
  { directory = "/opt/cni/bin" }: { directory?: string } = {},
): string {
  Deno.mkdirSync(directory, { recursive: true });
  const path = `${directory}/pilus`;
  if (sameFile(program, path)) return path;
  replaceWhole(path, (draft) => {
    try {
      Deno.linkSync(program, draft);
    } catch {
      Deno.copyFileSync(program, draft);
      Deno.chmodSync(draft, 0o755);
    }
  });
  return path;
}

function sameFile(a: string, b: string): boolean {
  try {
    const first = Deno.statSync(a), second = Deno.statSync(b);
    return first.dev === second.dev && first.ino === second.ino;
  } catch {
    return false;
  }
}
