import { assert, assertEquals, assertMatch } from "@std/assert";
import { chooseLocalPath } from "./local_path.ts";

Deno.test("chooseLocalPath() follows the operator, and by default what the kernel does well", async () => {
  assertEquals(await chooseLocalPath("off"), { on: false, reason: "--local-path off" });
  const auto = await chooseLocalPath("auto");
  const on = await chooseLocalPath("on");
  assert(on.on || on.reason.startsWith("no messages between sockets: "), on.reason);
  if (auto.on) assertEquals(on, auto);
  else assertMatch(auto.reason, /this kernel |no messages between sockets|arrived/);
  if (on.on && !auto.on) assertEquals(on.reason, `--local-path on, but ${auto.reason}`);
});
