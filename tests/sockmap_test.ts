// TCP within a node goes from socket to socket: every byte, in order, and only as policy allows.

import { assert, assertEquals, assertLess } from "@std/assert";
import { fromFileUrl } from "@std/path";
import type { ConnectionView, Listing, MapView } from "../agent/api/views.ts";
import type { LabHost, LabNode, LabPod } from "../cli/lab/lab.ts";
import { serviceManifest } from "./lab/balancer.ts";
import { inKernel, settle } from "./lab/clients.ts";
import { type Story, withLab } from "./lab/test_lab.ts";
import { FAMILIES } from "../datapath/testdata/families.ts";

const PORT = 7100;
const STREAMS = [
  "/usr/bin/python3",
  "-SE",
  fromFileUrl(new URL("lab/streams.py", import.meta.url)),
];
const MEGABYTE = 1 << 20;

/** What a conversation is asked for; see lab/streams.py. */
type Wish = Record<string, unknown>;

interface Said {
  ok: boolean;
  error?: string;
  held?: number;
}

async function talk(host: LabHost, ip: string, wish: Wish, options = {}, port = PORT) {
  const words = [...STREAMS, "talk", ip, String(port), JSON.stringify(wish)];
  const { stdout, stderr } = await host.exec(words, options);
  assertEquals(stderr, "");
  return JSON.parse(stdout) as Said;
}

async function serve({ lab }: Story, host: LabHost, port = PORT): Promise<Deno.ChildProcess> {
  const child = host.spawn([...STREAMS, "serve", String(port)], {}, { stderr: "inherit" });
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  await lines.read();
  said.set(child, lines);
  servers.push(child);
  void lab;
  return child;
}

/** Of each process what it says on standard output. */
const said = new WeakMap<Deno.ChildProcess, ReadableStreamDefaultReader<string>>();
const servers: Deno.ChildProcess[] = [];

/** Ends what `serve` has started, and waits for it. */
async function endServers(): Promise<void> {
  for (const child of servers.splice(0)) {
    try {
      child.kill("SIGKILL");
    } catch {
      // it has ended
    }
    await child.status;
    await said.get(child)?.cancel();
  }
}

/** Bytes that a pod's device has taken from the pod. */
async function onDevice(node: LabNode, pod: LabPod): Promise<number> {
  const endpoint = (await node.client.call<{ pod: string; hostIfname: string }[]>("/v1/endpoints"))
    .find((row) => row.pod === pod.podName)!;
  const { stdout } = await node.exec(["ip", "-j", "-s", "link", "show", endpoint.hostIfname]);
  return JSON.parse(stdout)[0].stats64.rx.bytes;
}

async function rows(node: LabNode, name: string): Promise<number> {
  const maps = await node.client.call<MapView[]>("/v1/maps");
  return maps.find((map) => map.name === name)!.entries!;
}

/** No socket is in the maps any more. */
async function assertEmpty(node: LabNode): Promise<void> {
  for (const name of ["pilus_sockets", "pilus_socket_refs"]) {
    assertEquals(await settle(() => rows(node, name), (count) => count === 0), 0, name);
  }
}

/** A policy for the server: it allows the client's labels, or somebody else's. */
function policy(app: string): string {
  return JSON.stringify({
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata: { name: "guard", namespace: "demo" },
    spec: {
      endpointSelector: { matchLabels: { app: "server" } },
      ingress: [{ fromEndpoints: [{ matchLabels: { app } }] }],
    },
  });
}

const KINDS: Record<string, Wish> = {
  "a small one each way": { up: { seed: 1, length: 300 }, down: { seed: 2, length: 300 } },
  "much each way at once": {
    both: true,
    up: { seed: 3, length: 8 * MEGABYTE },
    down: { seed: 4, length: 8 * MEGABYTE },
  },
  "one large write": { how: "large", up: { seed: 5, length: 16 * MEGABYTE } },
  "sendfile": { how: "sendfile", up: { seed: 6, length: 8 * MEGABYTE } },
  "MSG_PEEK": {
    peek: true,
    up: { seed: 7, length: MEGABYTE },
    down: { seed: 8, length: MEGABYTE },
  },
  "half closed": {
    half: true,
    up: { seed: 9, length: MEGABYTE },
    down: { seed: 10, length: 4 * MEGABYTE },
  },
  "a slow reader": { slow: 0.5, up: { seed: 11, length: 32 * MEGABYTE } },
  "a reset": { reset: 100_000 },
};

Deno.test("connections within a node go from socket to socket", async (t) => {
  await withLab({ nodes: 1, agentArgs: ["--sockmap", "on"] }, async (story) => {
    const { lab, a, pod } = story;
    const client = await pod(a, "client", { server: false });
    const server = await pod(a, "server", { server: false });
    await serve(story, server);
    await serve(story, a);
    const { sockmap } = await a.status();
    assertEquals(sockmap.on, true, sockmap.reason);

    for (const family of FAMILIES) {
      for (const [name, wish] of Object.entries(KINDS)) {
        await t.step(`${family} ${name}`, async () => {
          assertEquals((await talk(client, server[family], wish)).ok, true);
        });
      }
      await t.step(`${family} past the devices, but seen`, async () => {
        const before = await onDevice(a, client);
        const length = 4 * MEGABYTE;
        const wish = { up: { seed: 20, length }, down: { seed: 21, length: 1000 } };
        assertEquals((await talk(client, server[family], wish)).ok, true);
        assertLess(await onDevice(a, client) - before, length / 2);
        const { rows } = await a.client.call<Listing<ConnectionView>>("/v1/ct");
        const seen = rows.find(({ bytes }) => bytes[0] >= length);
        assert(seen, "the connection's bytes are in its row");
      });
      await t.step(`${family} between a pod and the node`, async () => {
        const wish = {
          both: true,
          up: { seed: 12, length: 4 * MEGABYTE },
          down: { seed: 13, length: 4 * MEGABYTE },
        };
        assertEquals((await talk(a, server[family], wish)).ok, true);
        assertEquals((await talk(client, a[family], wish)).ok, true);
      });
      await t.step(`${family} one end is in no cgroup of ours`, async () => {
        const wish = {
          both: true,
          up: { seed: 14, length: 4 * MEGABYTE },
          down: { seed: 15, length: 4 * MEGABYTE },
        };
        const { ok } = await talk(client, server[family], wish, { cgroup: false });
        assertEquals(ok, true);
      });
    }

    await t.step("through a service", async () => {
      lab.apply(
        "svc-streams",
        serviceManifest("streams", { app: "server" }, {
          spec: { clusterIP: "10.96.4.1", ports: [{ port: 80, targetPort: PORT }] },
        }),
      );
      const length = 4 * MEGABYTE;
      const wish = { up: { seed: 16, length } };
      await settle(
        async () => (await a.client.call<unknown[]>("/v1/services")).length,
        (n) => n > 0,
      );
      await inKernel(a);
      const before = await onDevice(a, client);
      assertEquals((await talk(client, "10.96.4.1", wish, {}, 80)).ok, true);
      assertLess(await onDevice(a, client) - before, length / 2);
    });

    await t.step("a receiver that does not read stops its sender", async () => {
      const wish = { full: true, slow: 3, up: { seed: 17, length: 64 * MEGABYTE } };
      const { ok, held } = await talk(client, server.ipv4, wish);
      assertEquals(ok, true);
      assertLess(held!, 16 * MEGABYTE);
    });

    await t.step("10,000 connections leave nothing", async () => {
      const words = [...STREAMS, "many", server.ipv4, String(PORT), "10000"];
      const { stdout, stderr } = await client.exec(words);
      assertEquals([stderr, JSON.parse(stdout).good], ["", 10_000]);
      await assertEmpty(a);
    });

    await t.step("another's address in a namespace of one's own is nobody's", async () => {
      const trick = `ip link set lo up
        ip addr add ${client.ipv4}/32 dev lo; ip addr add ${server.ipv4}/32 dev lo
        exec ${STREAMS.join(" ")} serve 7101`;
      const child = client.spawn(["unshare", "-n", "sh", "-c", trick], {}, { stderr: "inherit" });
      const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
      said.set(child, lines);
      servers.push(child);
      await lines.read();
      const inside = ["nsenter", `--net=/proc/${child.pid}/ns/net`, ...STREAMS];
      const held = client.spawn([...inside, "stream", server.ipv4, "7101"], {}, {
        stdin: "piped",
        stderr: "inherit",
      });
      const words = held.stdout.pipeThrough(new TextDecoderStream()).getReader();
      said.set(held, words);
      servers.push(held);
      await words.read();
      assertEquals(await rows(a, "pilus_sockets"), 0);
      await held.stdin.close();
      await held.status;
    });
    await endServers();
  });
});

Deno.test("a policy takes a connection off the path at once", async (t) => {
  for (const family of FAMILIES) {
    await t.step(family, async () => {
      await withLab({ nodes: 1, agentArgs: ["--sockmap", "on"] }, async (story) => {
        const { lab, a, pod, expectDrops } = story;
        expectDrops("Policy denied");
        const client = await pod(a, "client", { server: false });
        const server = await pod(a, "server", { server: false });
        lab.apply("guard", policy("client"));
        const guarded = async () => {
          const endpoints = await a.client.call<
            { pod: string; enforcing: { ingress: boolean }; revision: number }[]
          >("/v1/endpoints");
          return endpoints.find((row) => row.pod === "server")!;
        };
        await settle(guarded, ({ enforcing }) => enforcing.ingress);
        const listener = await serve(story, server);
        const sender = client.spawn([...STREAMS, "stream", server[family], String(PORT)], {}, {
          stdin: "piped",
          stderr: "inherit",
        });
        servers.push(sender);
        const words = sender.stdout.pipeThrough(new TextDecoderStream()).getReader();
        said.set(sender, words);
        const ask = sender.stdin.getWriter();
        await words.read();
        /** The number that the sender sends next, if it does not hang in a write. */
        const next = async () => {
          await ask.write(new TextEncoder().encode("?\n"));
          const { value } = await words.read();
          return JSON.parse(value!).next as number;
        };
        await settle(next, (number) => number > 500);
        assertEquals(await rows(a, "pilus_sockets"), 2);
        const quiet = await onDevice(a, client);
        const some = await next();
        await settle(next, (number) => number > some + 500);
        assertLess(await onDevice(a, client) - quiet, 500, "its numbers are not on the device");

        const { revision } = await guarded();
        lab.apply("guard", policy("nobody"));
        await settle(guarded, (row) => row.revision !== revision);
        const forbidden = await next();
        // what was sent before may be told late, what is sent from now on never
        const reader = said.get(listener)!;
        const { value: heard } = await reader.read();
        const { last } = JSON.parse(heard!.trim().split("\n").at(-1)!);
        assert(last < forbidden, `${last} was heard, ${forbidden} was sent after the denial`);

        lab.apply("guard", policy("client"));
        const again = await settle(next, (number) => number > forbidden + 2000, 20_000);
        assert(again > forbidden + 2000, "it goes on");
        await ask.close();
        await sender.status;
        // no gap: all that was held back has come, in order
        const end = await settle(
          async () => (await reader.read()).value ?? "",
          (text) => text.includes("end") || text.includes("gap"),
        );
        assert(end.includes("end"), end);
        await endServers();
        await assertEmpty(a);
      });
    });
  }
});

Deno.test("a connection outlives what happens to the agent and to the path", async (t) => {
  await withLab({ nodes: 1, agentArgs: ["--sockmap", "on"] }, async (story) => {
    const { lab, a, pod } = story;
    const client = await pod(a, "client", { server: false });
    const server = await pod(a, "server", { server: false });
    await serve(story, server);
    const mix = (seconds: number, seed: number) =>
      client.exec([...STREAMS, "mix", server.ipv4, String(PORT), String(seconds), String(seed)]);
    const good = async (work: ReturnType<typeof mix>) => {
      const { stdout, stderr } = await work;
      assertEquals(stderr, "");
      const { ok, conversations, failures } = JSON.parse(stdout);
      assertEquals(failures, []);
      assert(ok && conversations > 0);
    };

    await t.step("a policy that changes all the time, and always allows", async () => {
      const work = mix(5, 1);
      for (let i = 0; i < 40; i++) {
        const spec = JSON.parse(policy("client"));
        spec.spec.ingress.push({ fromEndpoints: [{ matchLabels: { app: `other-${i}` } }] });
        lab.apply("guard", JSON.stringify(spec));
        await new Promise((resolve) => setTimeout(resolve, 120));
      }
      lab.remove("guard");
      await good(work);
    });

    await t.step("the agent restarts", async () => {
      const work = mix(6, 2);
      for (let i = 0; i < 2; i++) {
        await a.stopAgent();
        a.startAgent();
        await a.ready();
      }
      await good(work);
    });

    await t.step("the path is switched off and on", async () => {
      const work = mix(8, 3);
      for (const choice of ["off", "on", "off", "on"]) {
        await a.stopAgent();
        a.startAgent(["--sockmap", choice]);
        await a.ready();
        assertEquals((await a.status()).sockmap.on, choice !== "off");
      }
      await good(work);
      await assertEmpty(a);
    });
    await endServers();
  });
});

Deno.test("a pod that is deleted leaves no socket behind", async () => {
  await withLab({ nodes: 1, agentArgs: ["--sockmap", "on"] }, async (story) => {
    const { a, pod, expectDrops } = story;
    expectDrops(
      "Address is of no endpoint here",
      "Endpoint not ready",
      "No known pod has the address",
      "No tunnel endpoint",
      "No route",
    );
    const client = await pod(a, "client", { server: false });
    const server = await pod(a, "server", { server: false });
    const listener = await serve(story, server);
    const wish = { timeout: 3, up: { seed: 1, length: 1 << 30 } };
    const work = talk(client, server.ipv4, wish);
    await settle(() => rows(a, "pilus_sockets"), (count) => count === 2);
    await a.cni("DEL", server);
    assertEquals((await work).ok, false);
    listener.kill("SIGKILL");
    await endServers();
    await assertEmpty(a);
  });
});
