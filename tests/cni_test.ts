// The CNI plugin as a real process: what a runtime sees of the one that the agent installs and of the
// program itself.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { CniNode, ping, PLUGINS, ROUTER_ADDRESSES } from "./lab/cni_node.ts";

Deno.test("CNI adds 60 pods at once, which talk with the host, and leaves nothing behind", async () => {
  await using node = await new CniNode().start();
  const pods = Array.from({ length: 60 }, (_, n) => `${n}`);
  for (const pod of pods) node.pod(pod);
  const added = await Promise.all(pods.map((pod) => node.cni("ADD", pod)));
  for (const { code, json } of added) assertEquals(code, 0, JSON.stringify(json));
  const addresses = added.flatMap(({ json }) =>
    json.ips.map((ip: { address: string }) => ip.address)
  );
  assertEquals(new Set(addresses).size, 120);
  assertEquals(node.manager.table.size, 60);
  assertEquals(node.datapath.ids.size, 60);
  assertEquals(new Set(node.manager.table.rows().map((e) => e.pod)).size, 60);

  for (const n of [0, 17, 59]) {
    for (const router of ROUTER_ADDRESSES) {
      assert(await ping(node.pods[n]!, router), `pod ${n} to host at ${router}`);
    }
    for (const { address } of added[n]!.json.ips) {
      assert(await ping(node.netns, address.split("/")[0]), `host to pod ${n} at ${address}`);
    }
    const checked = await node.cni("CHECK", `${n}`, {
      config: node.config({ prevResult: added[n]!.json }),
    });
    assertEquals([checked.code, checked.json], [0, undefined]);
  }
  assert(await ping(node.pods[0]!, addresses.at(-1)!.split("/")[0]), "pod to pod");

  for (const { code } of await Promise.all(pods.map((pod) => node.cni("DEL", pod)))) {
    assertEquals(code, 0);
  }
  assertEquals(node.leftovers(), []);
  assertEquals([node.manager.table.size, node.datapath.ids.size], [0, 0]);
  assertEquals(node.manager.usage().map((u) => u.used), [0, 0]);
});

for (const [name, plugin] of Object.entries(PLUGINS)) {
  Deno.test(`${name}: CNI ADD and DEL can be repeated, and every version has its result`, async () => {
    await using node = await new CniNode({ plugin }).start();
    node.pod("a");
    const first = await node.cni("ADD", "a");
    const again = await node.cni("ADD", "a");
    assertEquals(again.json, first.json);
    assertEquals(first.json.interfaces[1].mtu, 1500);
    assertEquals(first.json.ips[0], {
      interface: 1,
      address: "10.11.0.2/32",
      gateway: "10.11.0.1",
    });
    const old = await node.cni("ADD", "a", { config: node.config({ cniVersion: "0.3.1" }) });
    assertEquals(old.json.ips.map((ip: { version: string }) => ip.version), ["4", "6"]);
    assertEquals(old.json.interfaces[1].mtu, undefined);
    const versions = await node.cni("VERSION", "a");
    assertEquals(versions.json.supportedVersions.at(-1), "1.1.0");
    for (let i = 0; i < 2; i++) assertEquals((await node.cni("DEL", "a")).code, 0);
    assertEquals((await node.cni("DEL", "never")).code, 0);
  });

  Deno.test(`${name}: CNI GC deletes what is not listed, and STATUS follows the agent`, async () => {
    await using node = await new CniNode({ plugin }).start();
    for (const name of ["keep", "drop"]) {
      node.pod(name);
      assertEquals((await node.cni("ADD", name)).code, 0);
    }
    assertEquals((await node.cni("STATUS", "keep")).code, 0);
    const attachments = [{ containerID: "container-keep", ifname: "eth0" }];
    const config = node.config({ "cni.dev/valid-attachments": attachments });
    assertEquals((await node.cni("GC", "keep", { config })).code, 0);
    assertEquals(node.manager.table.rows().map((e) => e.pod), ["keep"]);
    await node.stop();
    const down = await node.cni("STATUS", "keep");
    assertEquals([down.code, down.json.code], [1, 50]);
    assertMatch(
      down.json.msg,
      /^Cannot reach the agent at .*pilus\.sock: .*Start it with `pilus agent`; one that is starting says in its log what it waits for$/,
    );
  });

  Deno.test(`${name}: CNI refuses wrong input with the specification's code and the reason`, async (t) => {
    await using node = await new CniNode({ plugin }).start();
    node.pod("a");
    await new Deno.Command("mkfifo", { args: [`${node.directory}/fifo`] }).output();
    const cases: [string, number, RegExp, Parameters<CniNode["cni"]>[2]][] = [
      ["no JSON", 6, /Cannot decode/, { config: "{" }],
      ["an array", 6, /not an object/, { config: "[]" }],
      ["huge input", 6, /more than 1048576 bytes/, { config: " ".repeat(3 << 20) }],
      ["a future version", 1, /Incompatible cniVersion "9.0.0"/, {
        config: node.config({ cniVersion: "9.0.0" }),
      }],
      ["no version", 1, /cniVersion missing/, { config: node.config({ cniVersion: undefined }) }],
      ["a wrong type", 7, /name must be/, { config: node.config({ name: 7 }) }],
      ["a path as name", 7, /name must be/, { config: node.config({ name: "../x" }) }],
      ["a relative socket", 7, /socket must be an absolute path/, {
        config: node.config({ socket: "/run/../x" }),
      }],
      ["ipam", 2, /pilus gives addresses itself/, { config: node.config({ ipam: {} }) }],
      ["a chain", 2, /cannot follow another plugin/, { config: node.config({ prevResult: {} }) }],
      ["no container", 4, /CNI_CONTAINERID is missing/, { env: { CNI_CONTAINERID: "" } }],
      ["a path as container", 4, /CNI_CONTAINERID is invalid/, {
        env: { CNI_CONTAINERID: "../x" },
      }],
      ["a path as device", 4, /CNI_IFNAME is invalid/, { env: { CNI_IFNAME: "a/b" } }],
      ["a long device name", 4, /CNI_IFNAME is invalid/, { env: { CNI_IFNAME: "x".repeat(16) } }],
      ["a relative namespace", 4, /CNI_NETNS is invalid/, { env: { CNI_NETNS: "x" } }],
      ["a missing namespace", 4, /ENOENT/, { env: { CNI_NETNS: "/run/netns/no-such" } }],
      ["a file as namespace", 4, /EINVAL/, { env: { CNI_NETNS: "/etc/hostname" } }],
      ["the node's namespace", 4, /the node's own/, { env: { CNI_NETNS: node.netns } }],
      ["a FIFO as namespace", 4, /it is no namespace/, {
        env: { CNI_NETNS: `${node.directory}/fifo` },
      }],
      ["another namespace", 4, /EINVAL/, { env: { CNI_NETNS: "/proc/self/ns/uts" } }],
      ["a path as pod", 7, /no name of a pod/, {
        env: { CNI_ARGS: "K8S_POD_NAMESPACE=demo;K8S_POD_NAME=../../x" },
      }],
      ["a path as Kubernetes namespace", 7, /no name of a namespace/, {
        env: { CNI_ARGS: "K8S_POD_NAMESPACE=../..;K8S_POD_NAME=x" },
      }],
      ["a path as UID", 7, /UID "..\/x" of the pod/, {
        env: { CNI_ARGS: "K8S_POD_NAMESPACE=demo;K8S_POD_NAME=x;K8S_POD_UID=../x" },
      }],
      ["a device that is there", 100, /EEXIST/, { env: { CNI_IFNAME: "lo" } }],
      ["malformed arguments", 4, /CNI_ARGS is invalid/, { env: { CNI_ARGS: "=x" } }],
      ["an address", 4, /pilus gives addresses itself/, { env: { CNI_ARGS: "IP=10.60.1.77" } }],
    ];
    for (const [name, code, message, options] of cases) {
      await t.step(name, async () => {
        const answer = await node.cni("ADD", "a", options);
        assertEquals([answer.code, answer.json.code], [1, code], JSON.stringify(answer.json));
        assertMatch(answer.json.msg, message);
      });
    }
    await t.step("a second interface of one pod", async () => {
      assertEquals((await node.cni("ADD", "a")).code, 0);
      const second = await node.cni("ADD", "a", { env: { CNI_IFNAME: "net1" } });
      assertEquals([second.code, second.json.code], [1, 7], JSON.stringify(second.json));
      assertMatch(second.json.msg, /has eth0 of demo\/a from pilus already/);
      assertEquals((await node.cni("DEL", "a")).code, 0);
    });
    const unknown = await node.cni("DANCE", "a");
    assertEquals(unknown.json.code, 4);
    assertEquals(node.leftovers(), []);
  });

  Deno.test(`${name}: cnitool drives add, check, del, gc and status`, async () => {
    const cache = Deno.env.get("BUILD_CACHE") ?? `${Deno.env.get("HOME")}/.cache/pilus`;
    const tool = `${cache}/bin/cnitool`;
    await using node = await new CniNode({ plugin }).start();
    const bin = `${node.directory}/bin`, conf = `${node.directory}/net.d`;
    Deno.mkdirSync(bin);
    Deno.mkdirSync(conf);
    Deno.writeTextFileSync(`${bin}/pilus`, `#!/bin/sh\nexec ${plugin.join(" ")}\n`, {
      mode: 0o755,
    });
    const { socket, stateDir } = node;
    Deno.writeTextFileSync(
      `${conf}/05-pilus.conflist`,
      JSON.stringify({
        cniVersion: "1.1.0",
        name: "pilus",
        plugins: [{ type: "pilus", socket, stateDir }],
      }),
    );
    const cnitool = async (verb: string, netns: string) => {
      const { code, stdout, stderr } = await new Deno.Command(tool, {
        args: [verb, "pilus", netns],
        env: { CNI_PATH: bin, NETCONFPATH: conf, NO_COLOR: "1" },
      }).output();
      const text = new TextDecoder();
      assertEquals(code, 0, `${verb}: ${text.decode(stdout)}${text.decode(stderr)}`);
    };
    const [a, b] = [node.pod("a"), node.pod("b")];
    await cnitool("status", a);
    for (const pod of [a, b]) {
      await cnitool("add", pod);
      await cnitool("check", pod);
      assert(await ping(pod, ROUTER_ADDRESSES[0]!));
    }
    await cnitool("del", a);
    assertEquals(node.manager.table.size, 1);
    // It gives no list of valid attachments: its library then asks for DEL of each one it has cached.
    await cnitool("gc", b);
    assertEquals(node.leftovers(), []);
  });
}
