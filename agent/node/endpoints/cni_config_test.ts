import { assert, assertEquals } from "@std/assert";
import { CNI_CONFIG_NAME, installCniBinary, writeCniConfig } from "./cni_config.ts";

Deno.test("writeCniConfig() and installCniBinary() replace their own file and leave the others", () => {
  const root = Deno.makeTempDirSync({ prefix: "pilus-cni-config-" });
  try {
    const directory = `${root}/net.d`, bin = `${root}/bin`;
    Deno.mkdirSync(directory);
    Deno.writeTextFileSync(`${directory}/10-other.conflist`, "theirs");
    const options = { directory, socket: "/run/pilus/pilus.sock", stateDir: "/var/lib/pilus" };
    for (let i = 0; i < 2; i++) writeCniConfig(options);
    const names = [...Deno.readDirSync(directory)].map((entry) => entry.name).sort();
    assertEquals(names, [CNI_CONFIG_NAME, "10-other.conflist"]);
    const { plugins, cniVersion, cniVersions } = JSON.parse(
      Deno.readTextFileSync(`${directory}/${CNI_CONFIG_NAME}`),
    );
    assertEquals(plugins[0].type, "pilus");
    // podman 4.3 and containerd 1.6 refuse a version above 0.4.0 and 1.0.0
    assertEquals([cniVersion, cniVersions], ["0.4.0", ["0.4.0", "1.0.0", "1.1.0"]]);

    for (const content of ["one", "two"]) {
      const program = `${root}/program-${content}`;
      Deno.writeTextFileSync(program, content, { mode: 0o755 });
      for (let i = 0; i < 2; i++) installCniBinary(program, { directory: bin });
      assertEquals(Deno.readTextFileSync(`${bin}/pilus`), content);
      assert(Deno.statSync(`${bin}/pilus`).mode! & 0o100);
    }
    assertEquals([...Deno.readDirSync(bin)].map((entry) => entry.name), ["pilus"]);
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
});
