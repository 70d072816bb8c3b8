/** What the examples share: their C programs, compiled when they are run, and waiting. */

import { compileC } from "../generate/clang.ts";

/** The object of `<name>.bpf.c` in this folder. Throws Error with clang's messages. */
export function compile(name: string): Uint8Array {
  return compileC(new URL(`${name}.bpf.c`, import.meta.url).pathname);
}

/** Waits so many seconds, or until Ctrl-C where none are given, and calls `each` every second. */
export async function everySecond(seconds: string | undefined, each: () => void): Promise<void> {
  const stop = Promise.withResolvers<void>();
  const end = () => stop.resolve();
  Deno.addSignalListener("SIGINT", end);
  const timer = setInterval(each, 1000);
  const limit = seconds === undefined ? undefined : setTimeout(end, Number(seconds) * 1000);
  await stop.promise;
  clearInterval(timer);
  clearTimeout(limit);
  Deno.removeSignalListener("SIGINT", end);
  each();
}
