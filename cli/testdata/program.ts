/** pilus as a process, for tests. */

const MAIN = new URL("../../main.ts", import.meta.url).pathname;

/** How a run ended. */
export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** Arguments of Deno that make it pilus. */
export function argv(...args: string[]): string[] {
  return ["run", "-A", "--quiet", "--no-check", MAIN, ...args];
}

/** Makes pilus ask the agent on `socket`. */
export function environment(socket: string): Record<string, string> {
  return { PILUS_SOCKET: socket, NO_COLOR: "1" };
}

/** pilus, to be started. */
export function command(socket: string, args: string[]): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: argv(...args),
    env: environment(socket),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** Runs it to its end. */
export async function pilus(socket: string, ...args: string[]): Promise<Ended> {
  const { code, stdout, stderr } = await command(socket, args).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}
