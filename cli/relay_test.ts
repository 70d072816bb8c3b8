import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { hubblePlace, packet, START } from "../agent/hubble/testdata/hubble_place.ts";

const MAIN = fromFileUrl(new URL("../main.ts", import.meta.url));

function pilus(...args: string[]): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--quiet", MAIN, ...args],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

Deno.test("pilus relay serves the flows of its peers to pilus observe, until SIGTERM", async () => {
  await using a = await hubblePlace();
  await using b = await hubblePlace();
  a.see(packet({ seconds: START }), packet({ seconds: START + 2 }));
  b.see(packet({ seconds: START + 1, protocol: 17 }));
  const relay = pilus("relay", "--listen", "127.0.0.1:0", "--peer", `${a.path},${b.path}`).spawn();
  const log = relay.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let address: string | undefined;
  for (let text = ""; address === undefined;) {
    const { value, done } = await log.read();
    if (done) throw new Error(`the relay has ended: ${text}`);
    text += value;
    address = / ready address=(\S+)/.exec(text)?.[1];
  }
  const observe = async (...args: string[]) => {
    const { code, stdout, stderr } = await pilus("observe", "--server", address!, ...args).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, lines: text(stdout).split("\n").slice(0, -1), stderr: text(stderr) };
  };
  const { lines } = await observe("--all");
  assertEquals(lines.map((line) => line.slice(7, 15)), ["22:13:20", "22:13:21", "22:13:22"]);
  assertMatch(lines[1]!, /shop\/cart-1:40000 \(ID:1001\) -> shop\/db-1:5432 .* \(UDP\)$/);
  assertEquals((await observe("--all", "--protocol", "udp")).lines, [lines[1]]);
  const none = await observe("--all", "--protocol", "sctp");
  assertStringIncludes(none.stderr, "No flow of the 3 that are kept passes; 3 were seen");
  const wrong = await observe("--from-ip", "10.0.0");
  assertEquals(wrong.code, 2);
  assertStringIncludes(wrong.stderr, '"10.0.0" is no address and no prefix');
  relay.kill("SIGTERM");
  assertEquals((await relay.status).code, 0);
  await Promise.all([relay.stdout.cancel(), log.cancel()]);
  const away = await observe("--all");
  assertEquals(away.code, 3);
  assertStringIncludes(away.stderr, "Cannot reach a server of Hubble's API at");
});
