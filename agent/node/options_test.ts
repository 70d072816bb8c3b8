import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { OPERATIONS, withOptionsTable } from "../../scripts/options_table.ts";
import { printable } from "../core/printable.ts";
import { type AgentConfig, ALL_OPTIONS, OPTIONS } from "./options.ts";

const MAIN = fromFileUrl(new URL("../../main.ts", import.meta.url));

Deno.test("each option has a name of its own and a default that it takes", () => {
  assertEquals(new Set(ALL_OPTIONS.map(({ name }) => name)).size, ALL_OPTIONS.length);
  for (const option of ALL_OPTIONS) {
    const { name, values, find } = option;
    assert(find || option.default !== undefined, `${name} has no default`);
    if (option.default !== undefined) option.read(option.default);
    if (values && option.default) assert(values.includes(String(option.default)), name);
    assertEquals(printable(option.summary), option.summary);
  }
});

Deno.test("AgentConfig has the types of the options' values", () => {
  const values: Pick<AgentConfig, "xdp" | "maglevSize" | "nodePortRange" | "masquerade"> = {
    xdp: "best",
    maglevSize: 251,
    nodePortRange: [1, 2],
    masquerade: true,
  };
  // @ts-expect-error no mode of XDP
  values.xdp = "fast";
  assertEquals(values.maglevSize, 251);
});

Deno.test("what a list names twice counts once", () => {
  assertEquals(OPTIONS.devices.read(["eth0", "eth0", "eth1"]), ["eth0", "eth1"]);
});

Deno.test("docs/operations.md has the options as they are; scripts/options_table.ts writes them", () => {
  const document = Deno.readTextFileSync(OPERATIONS);
  assertEquals(document, withOptionsTable(document));
});

for (
  const [name, args] of [
    ["help", ["agent", "--help"]],
    ["completion", ["completion", "bash"]],
    ["--print-config", ["agent", "--print-config"]],
  ] as const
) {
  Deno.test(`the options' ${name} loads no shared library`, async () => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--deny-ffi", "--no-check", "--quiet", MAIN, ...args],
      // The cgroup is given: to find it newer runtimes read /proc/self only with all permissions.
      env: { NO_COLOR: "1", PILUS_NODE_NAME: "here", PILUS_CGROUP: "/sys/fs/cgroup" },
    }).output();
    const decoder = new TextDecoder();
    assertEquals([code, decoder.decode(stderr)], [0, ""]);
    assertStringIncludes(decoder.decode(stdout), "node-name");
  });
}
