/**
 * One host with nothing written about it: podman, a runtime from before CNI 1.0, by the configuration
 * that the agent wrote, with services and policies.
 */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { EndpointView } from "../agent/api/types.ts";
import { type LabNode, OUTSIDE } from "../cli/lab/lab.ts";
import { get, settle } from "./lab/clients.ts";
import { withLab } from "./lab/test_lab.ts";

/** Lets the agent see the namespaces that podman binds there in a mount namespace of its own. */
async function shareNamespaces(node: LabNode): Promise<AsyncDisposable> {
  const directory = "/run/netns";
  if (new RegExp(` ${directory} .* shared:`).test(Deno.readTextFileSync("/proc/self/mountinfo"))) {
    return new AsyncDisposableStack();
  }
  Deno.mkdirSync(directory, { recursive: true });
  await node.exec(["mount", "--bind", directory, directory]);
  await node.exec(["mount", "--make-shared", directory]);
  return { [Symbol.asyncDispose]: async () => void await node.exec(["umount", directory]) };
}

/** Runs podman on the node, with one hierarchy of control groups, which its runtime asks for. */
function podman(node: LabNode, ...words: string[]) {
  const { directory } = node;
  Deno.writeTextFileSync(
    `${directory}/containers.conf`,
    `[containers]
cgroups = "disabled"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
[network]
network_backend = "cni"
cni_plugin_dirs = ["${directory}/bin"]
network_config_dir = "${directory}/net.d"
`,
  );
  const script = `mount --make-rprivate /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
exec podman "$@"`;
  const storage = [
    ...["--root", `${directory}/podman`, "--runroot", `${directory}/podman-run`],
    ...["--storage-driver", "vfs"],
  ];
  return node.exec([
    ...["unshare", "--mount", "--propagation", "unchanged", "sh", "-ec", script, "podman"],
    ...storage,
    ...words,
  ], { env: { CONTAINERS_CONF: `${directory}/containers.conf` } });
}

/** Answers with its name. */
const SERVER = `
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
  def do_GET(self):
    self.send_response(200); self.end_headers(); self.wfile.write(b"web")
http.server.HTTPServer(("", 8080), Handler).serve_forever()`;

const CLUSTER_IP = "10.96.9.8";

/** A Service with the container as its endpoint. */
const service = (address: string) =>
  [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web", namespace: "default" },
      spec: { clusterIP: CLUSTER_IP, ports: [{ port: 80, targetPort: 8080 }] },
    },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: "web-1",
        namespace: "default",
        labels: { "kubernetes.io/service-name": "web" },
      },
      addressType: "IPv4",
      endpoints: [{ addresses: [address] }],
      ports: [{ port: 8080 }],
    },
  ].map((resource) => JSON.stringify(resource)).join("\n---\n");

/** Containers may be asked by nobody but their host. */
const CLOSED = JSON.stringify({
  apiVersion: "cilium.io/v2",
  kind: "CiliumClusterwideNetworkPolicy",
  metadata: { name: "closed" },
  spec: {
    endpointSelector: { matchLabels: { "reserved:unmanaged": "" } },
    ingress: [{ fromEntities: ["host"] }],
  },
});

Deno.test("podman's containers have network, services and policies on a host without manifests", async () => {
  await withLab({ nodes: 1, nodeManifests: false }, async ({ lab, a, expectDrops }) => {
    expectDrops("Policy denied");
    await using _ = await shareNamespaces(a);
    const run = (...words: string[]) =>
      podman(a, ...["run", "--rm", "--network", "pilus"], ...words);
    const inContainer = (script: string) => run("--rootfs", "/:O", "sh", "-c", script);

    // names with underscores, as podman makes them up itself
    const look = `cat /sys/class/net/eth0/operstate; ping -c1 -W2 ${OUTSIDE.ipv4}`;
    const first = await run("--name", "a_container", "--rootfs", "/:O", "sh", "-c", look);
    assertEquals(first.code, 0, first.stderr);
    assertMatch(first.stdout, /^up\n[^]*1 received/);
    assertEquals((await a.status()).endpoints.total, 0);

    const server = run("--name", "web", "--rootfs", "/:O", "/usr/bin/python3", "-SEc", SERVER);
    const endpoints = () => a.client.call<EndpointView[]>("/v1/endpoints");
    const [web] = await settle(endpoints, ([one]) => one?.state === "ready");
    const address = web?.ipv4 ?? "no container";
    assertMatch(address, /^10\.222\.0\./);
    lab.apply("web", service(address));
    assertEquals(
      await settle(() => get(a, address, "/").catch(String), (s) => s === "web"),
      "web",
    );
    const ask = `curl -sS --max-time 3 http://${CLUSTER_IP}/`;
    const asked = await settle(() => inContainer(ask), ({ stdout }) => stdout === "web");
    assertEquals(asked.stdout, "web", asked.stderr);

    lab.apply("closed", CLOSED);
    const denied = await settle(() => inContainer(ask), ({ code }) => code !== 0);
    assertStringIncludes(denied.stderr, "timed out");
    assertEquals((await a.status()).problems, []);
    await podman(a, "rm", "--force", "--time", "0", "web");
    await server;
  });
});
