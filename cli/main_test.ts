import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { serveApi } from "../agent/api/server.ts";
import { ApiError } from "../agent/api/server.ts";

const MAIN = new URL("../main.ts", import.meta.url).pathname;

async function pilus(socket: string, ...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", MAIN, ...args],
    env: { PILUS_SOCKET: socket, NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

Deno.test("pilus ends with a code and a message by the kind of error", async (t) => {
  const directory = Deno.makeTempDirSync();
  const socket = `${directory}/pilus.sock`;
  const node = { name: "node-a", local: true, ipv4: "192.168.60.1", podCidrs: ["10.60.1.0/24"] };
  await using _server = await serveApi({
    socket,
    routes: {
      "GET /v1/nodes": () => [node],
      "GET /v1/endpoints/{id}": ({ params }) => {
        throw new ApiError(404, {
          code: "not-found",
          message: `There is no endpoint ${params.id}`,
        });
      },
      "GET /v1/identities": () => {
        throw new ApiError(500, { code: "internal", message: "out of luck", hint: "try again" });
      },
    },
  });
  await t.step("0: a table, JSON and YAML of the same rows", async () => {
    assertEquals(
      (await pilus(socket, "node", "list")).stdout,
      "NAME           IPV4          IPV6  POD CIDRS\nnode-a (this)  192.168.60.1        10.60.1.0/24\n",
    );
    assertEquals(JSON.parse((await pilus(socket, "node", "list", "-o", "json")).stdout), [node]);
    assertStringIncludes(
      (await pilus(socket, "node", "list", "-o", "yaml")).stdout,
      "- name: node-a",
    );
  });
  await t.step("1: the agent cannot, and its hint", async () => {
    const { code, stderr } = await pilus(socket, "identity", "list");
    assertEquals([code, stderr], [1, "pilus: out of luck\n  try again\n"]);
  });
  await t.step("2: wrong usage", async () => {
    const { code, stderr } = await pilus(socket, "node", "lsit");
    assertEquals(code, 2);
    assertStringIncludes(stderr, "did you mean `node list`?");
  });
  await t.step("3: nobody there", async () => {
    const { code, stderr } = await pilus(`${directory}/none.sock`, "status");
    assertEquals(code, 3);
    assertMatch(stderr, /Cannot reach the agent at .*none\.sock: .*`pilus agent`/);
  });
  await t.step("4: not found", async () => {
    const { code, stderr } = await pilus(socket, "endpoint", "get", "demo/nobody");
    assertEquals([code, stderr], [4, "pilus: There is no endpoint demo/nobody\n"]);
  });
});
