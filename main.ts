/** pilus is one program; who it is follows from how it is called. Each role is imported when needed. */

import { useLibbpf } from "./datapath/bpf/libbpf.ts";
import { setEmbeddedObjects } from "./datapath/objects.ts";

if (Deno.build.standalone) {
  const library = (name: string) => new URL(`./lib/${name}`, import.meta.url);
  useLibbpf([library("libz.so.1"), library("libelf.so.1"), library("libbpf.so.1")]);
  setEmbeddedObjects(new URL("./bpf/", import.meta.url));
}

// A container runtime calls a CNI plugin with this variable set (CNI specification 1.1, section 2).
if (Deno.env.has("CNI_COMMAND")) {
  const { runCni } = await import("./cli/cni/cni.ts");
  await runCni();
} else {
  const { run } = await import("./cli/main.ts");
  Deno.exitCode = await run(Deno.args);
}
