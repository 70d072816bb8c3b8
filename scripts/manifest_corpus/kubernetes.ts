/** Asks Kubernetes' own decoder and validation, as a program of Go beside this file. */

import { fromFileUrl } from "@std/path";

const SOURCE = fromFileUrl(new URL("./kubernetes", import.meta.url));

/** What is wrong with a text. */
export interface Fault {
  /** Missing for what cannot be decoded. */
  field?: string;
  type: string;
  detail: string;
}

/** On a text. */
export interface Answer {
  faults: Fault[];
  /** The resources as they were read, defaults included, as far as they can be. */
  objects?: Record<string, unknown>[];
}

/** The version of Kubernetes that is asked. */
export function kubernetesVersion(): string {
  const module = Deno.readTextFileSync(`${SOURCE}/go.mod`);
  return /k8s\.io\/kubernetes (v\S+)/.exec(module)![1]!;
}

/** Builds the program; the first time takes some minutes. */
export async function kubernetes(texts: readonly string[]): Promise<Answer[]> {
  const program = await Deno.makeTempFile();
  try {
    const build = await new Deno.Command("go", {
      args: ["build", "-o", program, "."],
      cwd: SOURCE,
      stdout: "inherit",
      stderr: "inherit",
    }).output();
    if (!build.success) throw new Error("The program of Kubernetes cannot be built");
    const child = new Deno.Command(program, { stdin: "piped", stdout: "piped" }).spawn();
    const lines = texts.map((text) => JSON.stringify(text)).join("\n");
    const written = new Response(lines).body!.pipeTo(child.stdin);
    const [{ stdout, success }] = await Promise.all([child.output(), written]);
    if (!success) throw new Error("The program of Kubernetes has failed");
    const answers = new TextDecoder().decode(stdout).trimEnd().split("\n");
    return answers.map((line) => JSON.parse(line) as Answer);
  } finally {
    await Deno.remove(program);
  }
}
