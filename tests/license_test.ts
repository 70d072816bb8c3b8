/** The licences stand in every place that has to name one, and agree. */

import { assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";

const ROOT = fromFileUrl(new URL("../", import.meta.url));
const SPDX = "// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0";

/** What the kernel reads: the programs call helpers for GPL-compatible programs only. */
const SECTION = `char _license[] SEC("license") = "GPL";`;

function* sources(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(ROOT + folder)) {
    if (isDirectory) yield* sources(`${folder}/${name}`);
    else if (/\.[ch]$/.test(name)) yield `${folder}/${name}`;
  }
}

const C_SOURCES = ["bpf", "cli", "datapath", "scripts"].flatMap((folder) => [...sources(folder)]);

Deno.test("each C source begins with the same SPDX line", () => {
  const first = (file: string) => Deno.readTextFileSync(ROOT + file).split("\n", 1)[0];
  assertEquals(C_SOURCES.filter((file) => first(file) !== SPDX), []);
});

Deno.test("each eBPF object has one licence section, the GPL of its SPDX line", () => {
  const sections = (file: string) =>
    Deno.readTextFileSync(ROOT + file).split("\n").filter((line) =>
      line.includes(`SEC("license")`)
    );
  const programs = C_SOURCES.filter((file) => file.endsWith(".bpf.c"));
  assertEquals(programs.map(sections), programs.map(() => [SECTION]));
});

Deno.test("LICENSE, deno.json and bpf/COPYING are the licences that SPDX lines name", () => {
  const title = (file: string) => Deno.readTextFileSync(ROOT + file).trimStart().split("\n", 1)[0];
  assertEquals(title("LICENSE"), "Apache License");
  assertEquals(title("bpf/COPYING")?.trim(), "GNU GENERAL PUBLIC LICENSE");
  assertEquals(JSON.parse(Deno.readTextFileSync(`${ROOT}deno.json`)).license, "Apache-2.0");
});
