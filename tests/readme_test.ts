// The README's commands do what it says.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { Lab } from "../cli/lab/lab.ts";
import { pilus } from "./lab/test_lab.ts";

const ROOT = new URL("../", import.meta.url).pathname;

/** The shell commands of a section. */
function commands(section: string): string {
  const readme = Deno.readTextFileSync(`${ROOT}README.md`);
  const text = readme.split(/^## /m).find((part) => part.startsWith(`${section}\n`)) ?? "";
  return [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block).join("");
}

/** A node's directories, apart from this machine's: what is written there is gone with the namespace. */
const OWN_DIRECTORIES = `
  mount -t tmpfs tmpfs /run
  cp -a /etc /run/etc && mount --bind /run/etc /etc && rm -rf /etc/cni
  for directory in /opt /var/lib /var/log /usr/local/bin; do mount -t tmpfs tmpfs $directory; done
  mount -t bpf bpf /sys/fs/bpf
  hostname fresh-node
`;

/** Runs the section's commands on a node of its own, then takes pilus off it. Its answers. */
async function install(section: string): Promise<string> {
  const directory = Deno.makeTempDirSync({ dir: "/run", prefix: "pilus-lab-" });
  Deno.removeSync(directory);
  await using lab = await Lab.create({ directory, nodes: ["node-a"], program: pilus() });
  const node = lab.node("node-a");
  const installing = commands(section).replaceAll(/^podman .*\n/gm, "");
  assertMatch(installing, /pilus agent .*&$/m);
  const uninstall = commands("Uninstall").trim();
  assertMatch(uninstall, /^pilus uninstall( .*)?$/);
  const script = `
    trap 'cat /var/log/pilus.log >&2' ERR
    ${OWN_DIRECTORIES}
    cd ${ROOT}
    ${installing}
    ls /etc/cni/net.d /opt/cni/bin
    kill $! && wait $! || true
    ${uninstall} --yes
    echo left: $(find /etc/cni/net.d /opt/cni/bin /sys/fs/bpf/pilus /run/pilus /var/lib/pilus -mindepth 1)
  `;
  const { code, stdout, stderr } = await node.exec(
    ["unshare", "--mount", "--uts", "bash", "-euc", script],
    { env: { PILUS_CGROUP: node.cgroup } },
  );
  assertEquals(code, 0, `${stdout}\n${stderr}`);
  return stdout;
}

for (const section of ["Install", "One host"]) {
  Deno.test(`README: the commands of "${section}" install pilus on a node, and uninstall takes it off`, async () => {
    const stdout = await install(section);
    assertMatch(stdout, /^fresh-node: ok$/m);
    assertMatch(stdout, /05-pilus\.conflist\n(.*\n)+pilus\n/);
    assertMatch(stdout, /^left:$/m);
  });
}

Deno.test("documents link to files that are there", () => {
  const documents = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
    .concat([...Deno.readDirSync(`${ROOT}docs`)].map(({ name }) => `docs/${name}`))
    .filter((file) => file.endsWith(".md"));
  const missing: string[] = [];
  let links = 0;
  for (const file of documents) {
    for (const [, target] of Deno.readTextFileSync(ROOT + file).matchAll(/\]\(([^)\s]+)\)/g)) {
      const url = new URL(target!, `file://${ROOT}${file}`);
      if (url.protocol !== "file:") continue;
      links++;
      if (!exists(url.pathname)) missing.push(`${file}: ${target}`);
    }
  }
  assertEquals(missing, []);
  assert(links > 10);
});

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
