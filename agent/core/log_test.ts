import { assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";

const LOG = fromFileUrl(new URL("./log.ts", import.meta.url));

Deno.test("Log keeps an event in one line without control characters", async () => {
  const program = `import { Log } from ${JSON.stringify(LOG)};
    new Log().info("pod\\u001b[2J added\\n", { pod: "demo/\\u009bx", error: "a\\nb \\u001b]0;t" });
    new Log().debug("not at this level");`;
  const { stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-check", "--quiet", program],
  }).output();
  const line = new TextDecoder().decode(stderr).replace(/^\S+ /, "");
  assertEquals(
    line,
    'info pod\\x1b[2J added\\n pod=demo/\\x9bx error="a\\nb \\u001b]0;t"\n',
  );
});
