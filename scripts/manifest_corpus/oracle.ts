/** Asks those whose judgment counts, as programs of Go in folders beside this file. */

import { fromFileUrl } from "@std/path";
import { CILIUM_ALONE, NOT_CILIUM } from "./cilium_differences.ts";
import { CILIUM_SHAPES } from "./cilium_shapes.ts";
import { KUBERNETES_ALONE, NOT_KUBERNETES, type OursOnly, type TheirsOnly } from "./differences.ts";
import type { KindShape } from "./shape.ts";
import { SHAPES } from "./shapes.ts";

/** Who says what is right. */
export interface Oracle {
  /** Of the folder of its program. */
  name: string;
  /** The module of Go whose version counts. */
  module: string;
  /** The kinds that it judges. */
  shapes: readonly KindShape[];
  /** Whether it says what it has read. */
  says: boolean;
  /** What it refuses, and pilus need not. */
  alone: readonly TheirsOnly[];
  /** What it takes, and pilus refuses. */
  takes: readonly OursOnly[];
}

/** Kubernetes' own decoder and validation. */
export const KUBERNETES: Oracle = {
  name: "kubernetes",
  module: "k8s.io/kubernetes",
  shapes: SHAPES,
  says: true,
  alone: KUBERNETES_ALONE,
  takes: NOT_KUBERNETES,
};

/** The API server with Cilium's CRDs, and Cilium's own parser. */
export const CILIUM: Oracle = {
  name: "cilium",
  module: "github.com/cilium/cilium",
  shapes: CILIUM_SHAPES,
  says: false,
  alone: CILIUM_ALONE,
  takes: NOT_CILIUM,
};

export const ORACLES = [KUBERNETES, CILIUM];

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

/** The folder of its program, with a file in it. */
export function oraclePath({ name }: Oracle, file = ""): string {
  return fromFileUrl(new URL(`./${name}/${file}`, import.meta.url));
}

/** The version that is asked. */
export function oracleVersion(oracle: Oracle): string {
  const modules = Deno.readTextFileSync(oraclePath(oracle, "go.mod"));
  return new RegExp(`${oracle.module} (v\\S+)`).exec(modules)![1]!;
}

/** Builds the program; the first time takes some minutes. */
export async function ask(oracle: Oracle, texts: readonly string[]): Promise<Answer[]> {
  const program = await Deno.makeTempFile();
  try {
    const build = await new Deno.Command("go", {
      args: ["build", "-o", program, "."],
      cwd: oraclePath(oracle),
      stdout: "inherit",
      stderr: "inherit",
    }).output();
    if (!build.success) throw new Error(`The program of ${oracle.name} cannot be built`);
    const pipes = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
    const child = new Deno.Command(program, pipes).spawn();
    const lines = texts.map((text) => JSON.stringify(text)).join("\n");
    const written = new Response(lines).body!.pipeTo(child.stdin);
    const [{ stdout, stderr, success }] = await Promise.all([child.output(), written]);
    if (!success) {
      const said = new TextDecoder().decode(stderr.slice(-1000));
      throw new Error(`The program of ${oracle.name} has failed: ${said}`);
    }
    const answers = new TextDecoder().decode(stdout).trimEnd().split("\n");
    return answers.map((line) => JSON.parse(line) as Answer);
  } finally {
    await Deno.remove(program);
  }
}
