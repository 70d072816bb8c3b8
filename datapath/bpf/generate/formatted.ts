/** Generated TypeScript in the form of `deno fmt`. */

/** The text as `deno fmt` has it. */
export function formatted(text: string): string {
  const path = Deno.makeTempFileSync({ suffix: ".ts" });
  try {
    Deno.writeTextFileSync(path, text);
    const args = ["fmt", "--quiet", "--no-config", "--line-width=100", path];
    const { success, stderr } = new Deno.Command(Deno.execPath(), { args }).outputSync();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return Deno.readTextFileSync(path);
  } finally {
    Deno.removeSync(path);
  }
}
