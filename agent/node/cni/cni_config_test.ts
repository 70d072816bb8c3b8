import { assertEquals } from "@std/assert";
import { CNI_CONFIG_NAME, writeCniConfig } from "./cni_config.ts";

Deno.test("writeCniConfig() replaces its own file and leaves the others, and writes nothing anew", () => {
  const root = Deno.makeTempDirSync({ prefix: "pilus-cni-config-" });
  try {
    const directory = `${root}/net.d`;
    Deno.mkdirSync(directory);
    Deno.writeTextFileSync(`${directory}/10-other.conflist`, "theirs");
    const options = { directory, socket: "/run/pilus/pilus.sock", stateDir: "/var/lib/pilus" };
    const inode = () => Deno.statSync(writeCniConfig(options)).ino;
    assertEquals(inode(), inode());
    const names = [...Deno.readDirSync(directory)].map((entry) => entry.name).sort();
    assertEquals(names, [CNI_CONFIG_NAME, "10-other.conflist"]);
    const { plugins, cniVersion, cniVersions } = JSON.parse(
      Deno.readTextFileSync(`${directory}/${CNI_CONFIG_NAME}`),
    );
    assertEquals(plugins[0].type, "pilus");
    // podman 4.3 and containerd 1.6 refuse a version above 0.4.0 and 1.0.0
    assertEquals([cniVersion, cniVersions], ["0.4.0", ["0.4.0", "1.0.0", "1.1.0"]]);
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
});
