// Clients outside reach services in every mode: who answers, in whose name, and what is on the wire.

import { assert, assertEquals } from "@std/assert";
import type { ServiceView } from "../agent/api/views.ts";
import { OUTSIDE } from "../cli/lab/lab.ts";
import type { RoutingMode } from "../datapath/loader.ts";
import { announce, balanced, makeWiresReal, serviceManifest, sniff } from "./lab/balancer.ts";
import {
  download,
  get,
  inKernel,
  MEGABYTE,
  peer,
  settle,
  sha256,
  tcp,
  udp,
} from "./lab/clients.ts";
import { withLab } from "./lab/test_lab.ts";
import { FAMILIES } from "../datapath/testdata/families.ts";

const CLUSTER = { ipv4: "10.96.1.1", ipv6: "fd60:96::101" } as const;

interface Mode {
  name: string;
  routing: RoutingMode;
  args: string[];
  /** Whether a backend elsewhere sees the client, by protocol. */
  direct: { tcp: boolean; udp: boolean };
  /** What packets to it carry. */
  header?: "tunnel" | "option";
}

const none = { tcp: false, udp: false }, all = { tcp: true, udp: true };
const MODES: Mode[] = [
  { name: "SNAT by tc, VXLAN", routing: "vxlan", args: [], direct: none },
  { name: "SNAT by tc", routing: "native", args: [], direct: none },
  { name: "SNAT by XDP", routing: "native", args: ["--xdp", "best"], direct: none },
  { name: "SNAT by generic XDP", routing: "native", args: ["--xdp", "generic"], direct: none },
  {
    name: "DSR in a tunnel by tc",
    routing: "native",
    args: ["--lb-mode", "dsr"],
    direct: all,
    header: "tunnel",
  },
  {
    name: "DSR in a tunnel by XDP",
    routing: "native",
    args: ["--lb-mode", "dsr", "--xdp", "best"],
    direct: all,
    header: "tunnel",
  },
  {
    name: "DSR with an option by tc",
    routing: "native",
    args: ["--lb-mode", "dsr", "--dsr-dispatch", "option"],
    direct: all,
    header: "option",
  },
  {
    name: "DSR with an option by XDP",
    routing: "native",
    args: ["--lb-mode", "dsr", "--dsr-dispatch", "option", "--xdp", "best"],
    direct: all,
    header: "option",
  },
  {
    name: "hybrid by XDP",
    routing: "native",
    args: ["--lb-mode", "hybrid", "--xdp", "best"],
    direct: { tcp: true, udp: false },
    header: "tunnel",
  },
];

for (const { name, routing, args, direct, header } of MODES) {
  Deno.test(`a client outside is served with ${name}`, async (t) => {
    await withLab({ routing, agentArgs: args }, async ({ lab, a, b, pod }) => {
      using _wires = args.includes("--xdp") ? makeWiresReal(lab) : undefined;
      await announce(lab, a);
      const selector = { app: "echo" };
      await pod(a, "here", { labels: selector });
      await pod(b, "there", { labels: selector });
      lab.apply(
        "web",
        serviceManifest("web", selector, {
          spec: {
            type: "LoadBalancer",
            clusterIP: CLUSTER.ipv4,
            clusterIPs: Object.values(CLUSTER),
            externalIPs: Object.values(balanced(2)),
          },
          ingress: Object.values(balanced(1)),
        }),
      );
      for (const node of [a, b]) {
        await settle(
          () => node.client.call<ServiceView[]>("/v1/services"),
          (rows) => rows.length >= 18 && rows.every(({ backends }) => backends.length === 2),
        );
      }
      await inKernel(a, b);

      for (const family of FAMILIES) {
        const step = (what: string, work: () => Promise<void>) => t.step(`${family} ${what}`, work);
        const fronts = [
          ["balancer's address", balanced(1)[family], 0],
          ["external address", balanced(2)[family], 0],
          ["node port of the first node", a[family], 30000],
          ["node port of the second node", b[family], 30000],
        ] as const;
        for (const [front, ip, more] of fronts) {
          await step(`TCP, UDP and HTTP to the ${front}`, async () => {
            const seen = new Map<string, Set<string>>();
            for (let i = 0; i < 8; i++) {
              assertEquals((await tcp(lab.outside, ip, 7 + more)).ok, true);
              const server = await get(lab.outside, ip, "/", { port: 80 + more });
              const { ok, answer, peer, error } = await udp(lab.outside, ip, 7 + more, "name");
              assertEquals([ok !== undefined, error, peer], [true, undefined, `${ip}:${7 + more}`]);
              for (const who of [server, answer!]) seen.set(who, new Set());
            }
            assertEquals([...seen.keys()].sort(), ["here", "there"]);
          });
        }

        await step("whom the backends see", async () => {
          const client = OUTSIDE[family];
          const peers = { tcp: new Set<string>(), udp: new Set<string>() };
          for (let i = 0; i < 14; i++) {
            peers.tcp.add(await get(lab.outside, balanced(1)[family], "/peer", { port: 80 }));
            const { answer, error } = await udp(lab.outside, balanced(1)[family], 7, "peer");
            assertEquals(error, undefined);
            peers.udp.add(answer!);
          }
          for (const protocol of ["tcp", "udp"] as const) {
            assert(peers[protocol].has(client), "a backend of the node sees the client");
            assertEquals(
              peers[protocol].size,
              direct[protocol] ? 1 : 2,
              [...peers[protocol]].join(),
            );
          }
        });

        await step("one port of the client towards two services", async () => {
          // half of the times both have the same backend
          for (let i = 0; i < 6; i++) {
            const words = ["twice", balanced(1)[family], balanced(2)[family], 7];
            const { failed } = await peer(lab.outside, words);
            // whose packets after the first do not say which service they are for
            const same = header === "option" ? failed!.filter(([name]) => name !== "tcp") : failed;
            assertEquals(same, []);
            // they had, and to wait for what does not come takes its time
            if (same!.length < failed!.length) break;
          }
        });

        await step("a megabyte", async () => {
          const sum = await sha256(MEGABYTE);
          for (let i = 0; i < 2; i++) {
            assertEquals(await download(lab.outside, balanced(1)[family], 80), sum);
          }
        });

        if (header) {
          await step("what is on the wire", async () => {
            const kinds = await sniff(b, async () => {
              // so many that one is served by the other node for certain
              for (let i = 0; i < 24; i++) {
                await get(lab.outside, balanced(1)[family], "/", { port: 80 });
              }
            });
            const [kind] = kinds.keys();
            assertEquals([kinds.size, kind?.split(" ")[0]], [1, header]);
            const source = header === "tunnel" ? a[family] : OUTSIDE[family];
            assertEquals(kind?.split(" ")[1], source);
          });
        }
      }
    });
  });
}
