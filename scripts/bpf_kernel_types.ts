/**
 * Generates code for every struct of the kernel's BTF, checks it, and tries each codec: what it reads of
 * random bytes and writes is read again as the same. Usage: deno run -A scripts/bpf_kernel_types.ts
 */

import { assertEquals } from "@std/assert";
import { Btf, type Codec } from "../datapath/bpf/mod.ts";
import { CodeModule } from "../datapath/bpf/generate/code_module.ts";

const CODEC = new URL("../datapath/bpf/codec.ts", import.meta.url).href;
const btf = Btf.parse(Deno.readFileSync("/sys/kernel/btf/vmlinux"));
const module = new CodeModule();
let structs = 0;
for (const [id, type] of btf.types.entries()) {
  if (type.kind === "struct") {
    module.shape(btf, id, `unnamed_${id}`);
    structs++;
  }
  if (type.kind === "enum" && type.name !== "") module.enum(btf, type.name, type.values);
}
const work = Deno.makeTempDirSync({ prefix: "kernel-types-" });
try {
  const file = `${work}/types.ts`;
  const imports = `import { type Codec, ${module.imports.join(", ")} } from "${CODEC}";`;
  Deno.writeTextFileSync(file, [imports, ...module.declarations].join("\n\n"));
  const { success } = new Deno.Command(Deno.execPath(), {
    args: ["check", `--config=${new URL("../deno.json", import.meta.url).pathname}`, file],
  }).outputSync();
  let tried = 0;
  const codecs = Object.values(await import(`file://${file}`)) as Partial<Codec<unknown>>[];
  for (const codec of codecs) {
    if (typeof codec.size !== "number" || !codec.encode || !codec.decode) continue;
    if (codec.size > 1 << 16) continue; // random bytes have a limit
    const bytes = crypto.getRandomValues(new Uint8Array(codec.size));
    const random = new DataView(bytes.map((byte, i) => i % 8 === 7 ? 0 : byte & 0x7f).buffer);
    const value = codec.decode(random, 0), again = new DataView(new ArrayBuffer(codec.size));
    try {
      codec.encode(again, 0, value);
    } catch (error) {
      if (error instanceof RangeError) continue; // a text that is none
      throw error;
    }
    assertEquals(codec.decode(again, 0), value);
    tried++;
  }
  console.log({ types: btf.types.length, structs, tried, checked: success });
  if (!success) Deno.exit(1);
} finally {
  Deno.removeSync(work, { recursive: true });
}
