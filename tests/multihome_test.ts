/** A node on two networks, with a rule for the source: answers leave by the device they have to. */

import { assert, assertEquals } from "@std/assert";
import { makeWiresReal, serviceManifest } from "./lab/balancer.ts";
import { get, inKernel, settle, tcp, udp } from "./lab/clients.ts";
import { withLab } from "./lab/test_lab.ts";

/** The node's address on the second network, and the router's. */
const SECOND = "192.168.61.1", GATEWAY = "192.168.61.254";
const NODE_PORTS = { near: 30035, far: 30036 };

for (const xdp of ["off", "best"]) {
  Deno.test(`node ports at the address of a second network (--xdp ${xdp})`, async () => {
    await withLab({ routing: "native" }, async ({ lab, a, b, pod, serve, expectDrops }) => {
      expectDrops("Service has no backend");
      using _wires = makeWiresReal(lab);
      const script = `ip link add wire2 type bridge
        ip address add ${GATEWAY}/24 dev wire2
        ip link set wire2 up
        ip link add a2 type veth peer name p2
        ethtool -K a2 gro on # so that it takes what XDP sends
        ip link set a2 master wire2 up
        ip link set p2 netns ${a.netns}
        sysctl -qw net.ipv4.conf.all.rp_filter=1`;
      const made = await lab.wire.exec(["sh", "-ec", script]);
      assertEquals(made.code, 0, made.stderr);
      const ready = await a.exec([
        "sh",
        "-ec",
        `ip link set p2 name eth1
         ethtool -K eth1 tx off >/dev/null
         ip address add ${SECOND}/24 dev eth1
         ip link set eth1 up
         ip rule add from ${SECOND} lookup 100
         ip route add default via ${GATEWAY} dev eth1 table 100`,
      ]);
      assertEquals(ready.code, 0, ready.stderr);
      await a.stopAgent();
      a.startAgent(["--device", "eth0,eth1", "--xdp", xdp]);
      await a.ready();
      await pod(a, "near");
      await pod(b, "far");
      for (const [name, nodePort] of Object.entries(NODE_PORTS)) {
        lab.apply(
          name,
          serviceManifest(name, { app: name }, {
            spec: {
              type: "NodePort",
              clusterIP: `10.96.9.${nodePort - 30000}`,
              ports: [
                { name: "tcp", port: 80, targetPort: 8080, nodePort },
                { name: "udp", port: 7, targetPort: 7000, protocol: "UDP", nodePort },
              ],
            },
          }),
        );
      }
      await serve(a);
      await inKernel(a, b);
      for (const ip of [a.ipv4, SECOND]) {
        assert((await settle(() => tcp(lab.outside, ip), ({ ok }) => ok === true)).ok, ip);
        for (const [name, port] of Object.entries(NODE_PORTS)) {
          const answer = await settle(
            () => get(lab.outside, ip, "/", { port }).catch(String),
            (text) => text === name,
          );
          assertEquals(answer, name, `${ip}:${port}`);
          assertEquals(
            (await udp(lab.outside, ip, port, "name")).answer,
            name,
            `${ip}:${port}/udp`,
          );
        }
      }
    });
  });
}
