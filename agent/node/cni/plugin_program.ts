/** The plugin's program in the directory where runtimes look for it. */

import { join } from "@std/path";
import { fileInfo } from "../../core/missing_files.ts";
import { removeDrafts, replaceWhole } from "../../core/whole_file.ts";

/** Its name there, which the configuration has as `type`. */
const NAME = "pilus";

const BUILT = new URL(
  Deno.build.standalone ? "./plugin/pilus" : "../../../dist/plugin/pilus",
  import.meta.url,
);

/** Milliseconds that the program has to say which versions it speaks. */
const ANSWER_MS = 5_000;

/** Where the plugin is in a directory. */
export function pluginPath(directory: string): string {
  return join(directory, NAME);
}

/** The built program. Throws Error that says how to build it when it is missing. */
export function readPlugin(): Uint8Array<ArrayBuffer> {
  try {
    return Deno.readFileSync(BUILT);
  } catch (cause) {
    throw new Error("Cannot read the CNI plugin: run scripts/build.sh", { cause });
  }
}

/**
 * Puts the plugin there, whole and on disk before it has its name, unless it is there already, byte
 * for byte. What else has the name is replaced, a link too, but not the agent's own program, which
 * is a plugin as well. Returns whether it wrote.
 */
export function installPlugin(directory: string, program = Deno.execPath()): boolean {
  Deno.mkdirSync(directory, { recursive: true });
  const path = pluginPath(directory);
  removeDrafts(path);
  if (pluginPath(Deno.realPathSync(directory)) === program) return false;
  const plugin = readPlugin();
  if (holds(path, plugin)) return false;
  replaceWhole(path, (draft) => {
    using file = Deno.openSync(draft, { write: true, createNew: true, mode: 0o755 });
    for (let sent = 0; sent < plugin.length;) sent += file.writeSync(plugin.subarray(sent));
    Deno.chmodSync(draft, 0o755); // whatever the umask is
    file.syncSync();
  });
  return true;
}

function holds(path: string, bytes: Uint8Array): boolean {
  const info = fileInfo(path);
  if (!info?.isFile || info.size !== bytes.length || (info.mode! & 0o777) !== 0o755) return false;
  const present = Deno.readFileSync(path);
  return present.every((byte, i) => byte === bytes[i]);
}

/** Why the plugin in the directory does not run, as where nothing may be executed; undefined when it does. */
export async function pluginFault(directory: string): Promise<string | undefined> {
  const path = pluginPath(directory);
  try {
    await using child = new Deno.Command(path, {
      env: { CNI_COMMAND: "VERSION" },
      clearEnv: true,
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
      signal: AbortSignal.timeout(ANSWER_MS),
    }).spawn();
    const writer = child.stdin.getWriter();
    const config = new TextEncoder().encode('{"cniVersion":"1.1.0"}');
    // another program may end without reading it
    await writer.write(config).then(() => writer.close()).catch(() => {});
    const { code, stdout } = await child.output();
    const text = new TextDecoder().decode(stdout);
    return code === 0 && text.includes("supportedVersions")
      ? undefined
      : `${path} does not work: exit ${code} ${text.slice(0, 200)}`.trim();
  } catch (error) {
    return `${path} cannot be run: ${(error as Error).message}`;
  }
}
