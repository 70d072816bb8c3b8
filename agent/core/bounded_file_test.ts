import { assertEquals, assertThrows } from "@std/assert";
import { readBounded } from "./bounded_file.ts";

Deno.test("readBounded() reads a regular file within its limit, and waits for nothing else", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-bounded-" });
  const at = (name: string) => `${directory}/${name}`;
  try {
    Deno.writeTextFileSync(at("file"), "text");
    Deno.symlinkSync("file", at("link"));
    await new Deno.Command("mkfifo", { args: [at("fifo")] }).output();
    const read = (name: string, maxBytes = 4, followLinks = true) =>
      readBounded(at(name), { maxBytes, followLinks });
    assertEquals([read("file"), read("link")], ["text", "text"]);
    assertThrows(() => read("link", 4, false), Error, "it is no regular file");
    assertThrows(() => read("file", 3), Error, "it has 4 bytes, and 3 is the most");
    assertThrows(() => read("fifo"), Error, "it is no regular file");
    assertThrows(() => read("."), Error);
    for (const device of ["/dev/zero", "/dev/null"]) {
      assertThrows(
        () => readBounded(device, { maxBytes: 4, followLinks: true }),
        Error,
        "it is no regular file",
      );
    }
    // what says that it is empty and is not
    assertThrows(
      () => readBounded("/proc/self/status", { maxBytes: 4, followLinks: true }),
      Error,
    );
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});
