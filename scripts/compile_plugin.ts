/** The CNI plugin in C as a small static program: it starts at once, and needs nothing of the node. */

import { CNI_TIMEOUTS, CNI_VARIABLES, CNI_VERSIONS, MAX_CONFIG_BYTES } from "../agent/api/cni.ts";
import { DEFAULT_SOCKET, DEFAULT_STATE_DIR } from "../agent/api/types.ts";

const quoted = (texts: readonly string[]) => texts.map((text) => JSON.stringify(text)).join(",");

/** What the plugin and the agent must agree on, said once in agent/api. */
const CONSTANTS = {
  CNI_VERSIONS: quoted(CNI_VERSIONS),
  CNI_VARIABLES: quoted(CNI_VARIABLES),
  CNI_COMMANDS: Object.entries(CNI_TIMEOUTS)
    .map(([name, milliseconds]) => `{${JSON.stringify(name)},${milliseconds}}`).join(","),
  MAX_CONFIG_BYTES: String(MAX_CONFIG_BYTES),
  DEFAULT_SOCKET: JSON.stringify(DEFAULT_SOCKET),
  DEFAULT_STATE_DIR: JSON.stringify(DEFAULT_STATE_DIR),
};

/** Throws Error with the compiler's messages. */
export function compilePlugin(source: string, output: string): void {
  const { success, stderr } = new Deno.Command("clang-19", {
    args: [
      ...["-std=c11", "-D_GNU_SOURCE", "-Os", "-Wall", "-Wextra", "-Werror"],
      ...["-static-pie", "-fPIE", "-fstack-protector-strong", "-U_FORTIFY_SOURCE"],
      ...["-D_FORTIFY_SOURCE=2", "-Wl,-z,relro,-z,now,-z,noexecstack", "-Wl,--gc-sections", "-s"],
      ...["-ffunction-sections", "-fdata-sections"],
      ...Object.entries(CONSTANTS).map(([name, value]) => `-D${name}=${value}`),
      ...[source, "-o", output],
    ],
  }).outputSync();
  if (!success) throw new Error(`clang-19 failed:\n${new TextDecoder().decode(stderr)}`);
}
