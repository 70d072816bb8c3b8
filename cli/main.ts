/** The command line. */

/** Runs a command and returns the exit code. */
export function run(args: string[]): Promise<number> {
  if (args[0] === "version") {
    console.log("pilus 0.1.0");
    return Promise.resolve(0);
  }
  console.error(`pilus: unknown command ${args[0] ?? ""}`);
  return Promise.resolve(2);
}
