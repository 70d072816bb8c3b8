import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { installPlugin, pluginFault, pluginPath, readPlugin } from "./plugin_program.ts";

function withDirectory<T>(work: (directory: string) => T): T {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-plugin-" });
  const remove = () => Deno.removeSync(directory, { recursive: true });
  const result = work(directory);
  if (result instanceof Promise) return result.finally(remove) as T;
  remove();
  return result;
}

const run = (...args: string[]) =>
  new Deno.Command(args[0]!, { args: args.slice(1), stdout: "null", stderr: "null" }).outputSync();

Deno.test("installPlugin() replaces whatever has its name, and leaves all else", async (t) => {
  const plugin = readPlugin();
  /** Makes what is there before. */
  const cases: [string, (path: string) => void, { writes?: boolean }?][] = [
    ["nothing", () => {}],
    ["the plugin", (path) => Deno.writeFileSync(path, plugin, { mode: 0o755 }), { writes: false }],
    ["a half of it", (path) => Deno.writeFileSync(path, plugin.subarray(0, 5000), { mode: 0o755 })],
    [
      "as many other bytes",
      (path) => Deno.writeFileSync(path, new Uint8Array(plugin.length), { mode: 0o755 }),
    ],
    ["one that nobody may run", (path) => Deno.writeFileSync(path, plugin, { mode: 0o644 })],
    ["one of another machine", (path) => {
      const other = plugin.slice();
      other[18] = 0xb7; // e_machine: AArch64
      Deno.writeFileSync(path, other, { mode: 0o755 });
    }],
    ["a link", (path) => {
      Deno.writeTextFileSync(`${path}-target`, "theirs");
      Deno.symlinkSync(`${path}-target`, path);
    }],
    ["a hard link to the program", (path) => {
      Deno.writeTextFileSync(`${path}-target`, "theirs", { mode: 0o755 });
      Deno.linkSync(`${path}-target`, path);
    }],
    ["a dangling link", (path) => Deno.symlinkSync(`${path}-nowhere`, path)],
    ["what an agent that was killed left", (path) =>
      Deno.writeFileSync(
        path.replace(/pilus$/, `.pilus.${crypto.randomUUID()}`),
        plugin.subarray(0, 9),
      )],
  ];
  for (const [name, make, { writes = true } = {}] of cases) {
    await t.step(name, () =>
      withDirectory(async (directory) => {
        Deno.writeTextFileSync(`${directory}/bridge`, "another's");
        const path = pluginPath(directory);
        make(path);
        const others = [...Deno.readDirSync(directory)].map((entry) => entry.name)
          .filter((name) => name !== "pilus" && !name.startsWith("."));
        assertEquals(installPlugin(directory), writes);
        assertEquals(installPlugin(directory), false);
        assert(Deno.lstatSync(path).isFile);
        assertEquals(Deno.lstatSync(path).mode! & 0o777, 0o755);
        assertEquals(Deno.readFileSync(path), plugin);
        assertEquals(await pluginFault(directory), undefined);
        const names = [...Deno.readDirSync(directory)].map((entry) => entry.name);
        assertEquals(names.sort(), [...others, "pilus"].sort());
        for (const other of others.filter((name) => name.endsWith("target"))) {
          assertEquals(Deno.readTextFileSync(`${directory}/${other}`), "theirs");
        }
      }));
  }
  await t.step("the agent's own program stays", () =>
    withDirectory((directory) => {
      const path = pluginPath(directory);
      Deno.writeTextFileSync(path, "the agent");
      assertEquals(installPlugin(directory, path), false);
      assertEquals(Deno.readTextFileSync(path), "the agent");
    }));
  await t.step("a directory of that name is an error", () =>
    withDirectory((directory) => {
      Deno.mkdirSync(`${pluginPath(directory)}/x`, { recursive: true });
      assertThrows(() => installPlugin(directory));
      assertEquals([...Deno.readDirSync(directory)].map(({ name }) => name), ["pilus"]);
    }));
});

Deno.test("a plugin that cannot be written or run has a fault that says why", async (t) => {
  const mounted = (options: string, work: (directory: string) => Promise<void>) =>
    withDirectory(async (directory) => {
      assert(run("mount", "-t", "tmpfs", "none", directory).success);
      try {
        if (options === "noexec") assert(run("mount", "-o", "remount,noexec", directory).success);
        await work(directory);
      } finally {
        run("umount", directory);
      }
    });
  await t.step("nothing may be run there", () =>
    mounted("noexec", async (directory) => {
      installPlugin(directory);
      assertMatch(
        await pluginFault(directory) ?? "",
        /pilus cannot be run: .*[Pp]ermission denied/,
      );
    }));
  await t.step("read-only, and it is there", () =>
    mounted("", async (directory) => {
      installPlugin(directory);
      assert(run("mount", "-o", "remount,ro", directory).success);
      assertEquals(installPlugin(directory), false);
      assertEquals(await pluginFault(directory), undefined);
    }));
  await t.step("read-only, and another one is there", () =>
    mounted("", async (directory) => {
      Deno.writeTextFileSync(pluginPath(directory), "#!/bin/sh\nexit 3", { mode: 0o755 });
      assert(run("mount", "-o", "remount,ro", directory).success);
      assertThrows(() => installPlugin(directory), Error, "Read-only file system");
      assertMatch(await pluginFault(directory) ?? "", /does not work: exit 3/);
    }));
  await t.step("of another machine", () =>
    withDirectory(async (directory) => {
      const other = readPlugin();
      other[18] = 0xb7;
      Deno.writeFileSync(pluginPath(directory), other, { mode: 0o755 });
      assertMatch(await pluginFault(directory) ?? "", /cannot be run|does not work/);
    }));
});
