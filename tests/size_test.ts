/** Datagrams of every size from a client outside to backends here and elsewhere, whole and in parts. */

import { assert, assertEquals } from "@std/assert";
import type { RoutingMode } from "../datapath/loader.ts";
import { type LabHost, OUTSIDE } from "../cli/lab/lab.ts";
import { FAMILIES, type Family } from "../datapath/testdata/families.ts";
import { announce, balanced, serviceManifest } from "./lab/balancer.ts";
import { inKernel, peer, settle, udp } from "./lab/clients.ts";
import { withLab } from "./lab/test_lab.ts";

const MODES: { name: string; routing: RoutingMode; args: string[] }[] = [
  { name: "VXLAN", routing: "vxlan", args: [] },
  { name: "native routing", routing: "native", args: [] },
  { name: "DSR in a tunnel", routing: "native", args: ["--lb-mode", "dsr"] },
  {
    name: "DSR with an option",
    routing: "native",
    args: ["--lb-mode", "dsr", "--dsr-dispatch", "option"],
  },
];

/** Bytes: that fit everywhere, that fit but for what is added on the way, and in parts. */
const SIZES = [1400, 1440, 1460, 3000, 20_000];

/** Bytes of datagrams that are sent many at once, with UDP's segmentation offload. */
const SEGMENTS = [1200, 1400, 1440];

/** Values of IP_MTU_DISCOVER (linux/in.h): DF never, or where the datagram is whole. */
const DISCOVERY = { never: 0, want: 1 } as const;

/** Orders in which the fragments of a datagram arrive, and bytes of each. */
const ORDERS: Record<string, [order: number[], size: number]> = {
  "in order": [[0, 1, 2], 1000],
  "its last before": [[0, 2, 1], 1000],
  "the first last": [[2, 1, 0], 1000],
  "the first between": [[1, 0, 2], 1000],
  "44 parts, the first last": [Array.from({ length: 44 }, (_, i) => 43 - i), 1400],
};

const BACKENDS = [[21, "there"], [22, "here"]] as const;

for (const { name, routing, args } of MODES) {
  Deno.test(`datagrams of every size reach a service by ${name}`, async (t) => {
    await withLab({ routing, agentArgs: args }, async (test) => {
      const { lab, a, b, pod, serve, expectDrops } = test;
      // the first one is lost where the client has to learn the path's MTU
      expectDrops("Longer than the way to the backend allows", "First fragment not seen");
      await announce(lab, a);
      await serve(lab.outside);
      await serve(a);
      const here = await pod(a, "here"), there = await pod(b, "there");
      const client = await pod(a, "client");
      for (const [number, app] of BACKENDS) {
        const { ipv4, ipv6 } = balanced(number);
        lab.apply(
          app,
          serviceManifest(app, { app }, {
            spec: {
              type: "LoadBalancer",
              clusterIPs: [`10.96.9.${number}`, `fd60:96::9:${number}`],
              clusterIP: `10.96.9.${number}`,
              allocateLoadBalancerNodePorts: false,
              ports: [{ port: 7, targetPort: 7000, protocol: "UDP" }],
            },
            ingress: [ipv4, ipv6],
          }),
        );
        for (const family of FAMILIES) {
          await settle(() => udp(lab.outside, balanced(number)[family], 7), ({ ok }) => !!ok);
        }
      }
      await inKernel(a, b);
      for (const [number, app] of BACKENDS) {
        for (const family of FAMILIES) {
          await t.step(`${app}, ${family}, ten at once`, async () => {
            for (const size of SEGMENTS) {
              for (const ip of ["-4", "-6"]) {
                await lab.outside.exec(["ip", ip, "route", "flush", "cache"]);
              }
              const command = ["segments", balanced(number)[family], 7, size];
              const { came = [] } = await peer(lab.outside, command);
              if (size <= 1400) assertEquals(came, [10, 10, 10], `${size} bytes`);
              // the sender learns that they are too long for the way, or they arrive
              else {assert(
                  came.slice(1).every((n) => n === 10 || n === "EMSGSIZE"),
                  `${size}: ${came}`,
                );}
            }
          });
        }
      }
      const ways: [string, LabHost, (family: Family) => string, number][] = [
        ...BACKENDS.map(([number, app]): typeof ways[number] => [
          `outside to ${app}`,
          lab.outside,
          (family) => balanced(number)[family],
          7,
        ]),
        ["a pod to one of its node", client, (family) => here[family], 7000],
        ["a pod to one of another", client, (family) => there[family], 7000],
        ["a pod to a service", client, (family) => balanced(21)[family], 7],
        ["a pod to outside", client, (family) => OUTSIDE[family], 7000],
      ];
      await t.step(
        "fragments in any order to the node itself leave nothing in its stack",
        async () => {
          for (const family of FAMILIES) {
            const command = ["parts", a[family], 7000, JSON.stringify(Object.values(ORDERS))];
            const { orders = [] } = await peer(lab.outside, command);
            assertEquals(orders.flat(), orders.flat().map(() => true), family);
          }
          const { stdout } = await a.exec(["cat", "/proc/net/sockstat", "/proc/net/sockstat6"]);
          assertEquals(stdout.match(/^FRAG6?: inuse \d+/gm), ["FRAG: inuse 0", "FRAG6: inuse 0"]);
        },
      );
      for (const [way, from, to, port] of ways) {
        await t.step(`fragments in any order, ${way}`, async () => {
          for (const family of FAMILIES) {
            const command = ["parts", to(family), port, JSON.stringify(Object.values(ORDERS))];
            const { orders = [] } = await peer(from, command);
            assertEquals(
              Object.fromEntries(Object.keys(ORDERS).map((words, i) => [words, orders[i]])),
              Object.fromEntries(Object.keys(ORDERS).map((words) => [words, [true, true, true]])),
              family,
            );
          }
        });
      }
      // checksums as network cards leave them, not those of neighbours on one machine
      await lab.outside.exec(["ethtool", "-K", "eth0", "tx", "off"]);
      for (const [number, app] of BACKENDS) {
        for (const family of FAMILIES) {
          for (const [words, discovery] of Object.entries(DISCOVERY)) {
            if (family === "ipv6" && words === "never") continue; // it is never set there
            await t.step(`${app}, ${family}, DF ${words}`, async () => {
              const lost: Record<number, number> = {};
              for (const size of SIZES) {
                for (const ip of ["-4", "-6"]) {
                  await lab.outside.exec(["ip", ip, "route", "flush", "cache"]);
                }
                const command = ["sizes", balanced(number)[family], 7, size, discovery];
                const { answered = [] } = await peer(lab.outside, command);
                lost[size] = answered.filter((ok) => !ok).length;
                assertEquals(answered.slice(1), [true, true], `${size} bytes, after the first`);
              }
              // what must not be fragmented is lost once, which tells the sender
              const arrive = SIZES.filter((size) =>
                app === "here" || family === "ipv4" && (words === "never" || size > 1472)
              );
              assertEquals(arrive.filter((size) => lost[size] !== 0), []);
            });
          }
        }
      }
    });
  });
}
