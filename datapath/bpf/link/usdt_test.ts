import { assertEquals, assertThrows } from "@std/assert";
import { KernelError } from "../kernel_error.ts";
import { BpfObject } from "../object.ts";
import { compile } from "../testdata/build.ts";

Deno.test("attachUsdt() attaches to a probe of a program, with its argument and a cookie", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "bpf-usdt-" });
  const path = `${directory}/lines`;
  const source = new URL("../testdata/usdt.c", import.meta.url).pathname;
  const built = new Deno.Command("clang-19", { args: ["-O1", "-o", path, source] }).outputSync();
  assertEquals([built.code, new TextDecoder().decode(built.stderr)], [0, ""]);
  const program = new Deno.Command(path, { stdin: "piped", stdout: "piped" }).spawn();
  const writer = program.stdin.getWriter(), reader = program.stdout.getReader();
  const say = async (line: string) => {
    await writer.write(new TextEncoder().encode(`${line}\n`));
    await reader.read();
  };
  try {
    using object = BpfObject.open(compile("usdt"));
    const options = { path, provider: "pilus", name: "line", cookie: 7n };
    assertThrows(() => object.attachUsdt("on_probe", options), RangeError, "is not loaded");
    object.load();
    const seen = () => ["calls", "last", "cookie"].map((name) => object.variable(name).get());
    await say("before");
    assertEquals(seen(), [0n, 0n, 0n]);
    using link = object.attachUsdt("on_probe", options);
    await say("while");
    assertEquals(seen(), [1n, 5n, 7n]);
    await say("it is there");
    assertEquals(seen(), [2n, 11n, 7n]);
    link.detach();
    link.detach();
    await say("after");
    assertEquals(seen(), [2n, 11n, 7n]);
    const nowhere = { ...options, name: "nothing" };
    const error = assertThrows(() => object.attachUsdt("on_probe", nowhere), KernelError);
    assertEquals([error.code, error.target], ["ENOENT", `pilus:nothing of ${path}`]);

    // an object takes with it what is attached by it
    const other = BpfObject.open(compile("usdt")).load();
    const kept = other.attachUsdt("on_probe", options);
    other[Symbol.dispose]();
    kept.detach();
    await say("without the object");
  } finally {
    await writer.close();
    await reader.cancel();
    await program.status;
    Deno.removeSync(directory, { recursive: true });
  }
});
