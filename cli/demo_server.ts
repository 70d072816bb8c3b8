/** Server and client of the demo. */

import { EXIT, type Invocation } from "./command.ts";
import { print } from "./output.ts";

/** `pilus demo-server NAME PORT`: answers every request with its name. Runs until it is ended. */
export async function serveDemo({ args }: Invocation): Promise<void> {
  const [name, port] = args;
  const headers = { connection: "close" };
  await Deno.serve(
    { hostname: "::", port: Number(port), onListen: () => {} },
    () => new Response(`${name}\n`, { headers }),
  ).finished;
}

/** `pilus demo-fetch URL`: prints the answer; exit code 1 when none comes within a second. */
export async function fetchDemo({ args }: Invocation): Promise<number> {
  try {
    const response = await fetch(args[0]!, { signal: AbortSignal.timeout(1000) });
    print(await response.text());
    return EXIT.ok;
  } catch {
    return EXIT.failed;
  }
}
