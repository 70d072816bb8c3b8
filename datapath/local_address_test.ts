import { assertEquals } from "@std/assert";
import { parseIp } from "./net/ip.ts";
import { DropReason } from "./maps/generated.ts";
import {
  DEVICE_IFINDEX,
  DEVICE_MAC,
  OTHER_POD,
  POD,
  REMOTE,
  skbContext,
  TestNode,
  TUNNEL_IFINDEX,
  VERDICT,
} from "./testdata/node.ts";
import { both, type Family } from "./testdata/families.ts";
import { balancerNode } from "./testdata/balancer.ts";
import { Trampoline } from "./testdata/trampoline.ts";
import { readFrame, TCP, tcpFrame } from "./testdata/packets.ts";

interface Way extends Disposable {
  node: TestNode;
  receive(made: Uint8Array): { verdict: number; frame: Uint8Array };
}

/** The ways of a packet to a pod, by the programs that cache its address. */
const WAYS: Record<string, () => Way> = {
  "out of the tunnel": () => {
    const node = new TestNode(), trampoline = new Trampoline();
    return {
      node,
      receive(data) {
        const program = trampoline.aim(node.program("from_overlay"), {
          identity: REMOTE.identity,
        });
        const result = program.testRun({ data, ctx: skbContext(TUNNEL_IFINDEX) });
        return { verdict: result.retval, frame: result.data };
      },
      [Symbol.dispose]() {
        trampoline[Symbol.dispose]();
        node[Symbol.dispose]();
      },
    };
  },
  "in native routing": () => {
    const node = balancerNode("snat", { tunnel_ifindex: 0 });
    return {
      node,
      receive(made) {
        made.set(DEVICE_MAC);
        return node.run("from_netdev", made, { ifindex: DEVICE_IFINDEX });
      },
      [Symbol.dispose]: () => node[Symbol.dispose](),
    };
  },
};

const toPod = (family: Family) =>
  tcpFrame({
    source: REMOTE[family],
    destination: POD[family],
    sourcePort: 40000,
    destinationPort: 8080,
    flags: TCP.ack,
  });

for (const [way, open] of Object.entries(WAYS)) {
  both(`an address follows its endpoint, ${way}`, (family) => {
    using end = open();
    const { node } = end;
    const made = toPod(family);
    for (let i = 0; i < 2; i++) {
      const { verdict, frame } = end.receive(made);
      assertEquals([verdict, readFrame(frame).destinationMac], [VERDICT.redirect, POD.mac]);
    }

    // another endpoint has it now
    node.setEndpoint({ ...OTHER_POD, ipv4: POD.ipv4, ipv6: POD.ipv6 });
    const address = parseIp(POD[family]);
    const row = node.maps.pilus_ipcache.get(address)!;
    node.maps.pilus_ipcache.set(address, { ...row, ifindex: OTHER_POD.ifindex });
    node.forgetAddresses();
    for (let i = 0; i < 2; i++) {
      const { verdict, frame } = end.receive(made);
      assertEquals([verdict, readFrame(frame).destinationMac], [VERDICT.redirect, OTHER_POD.mac]);
    }

    // and is gone, before anything is forgotten
    node.maps.pilus_endpoints.set(OTHER_POD.ifindex & 0xffff, {
      ...node.maps.pilus_endpoints.get(OTHER_POD.ifindex & 0xffff)!,
      ifindex: 0,
    });
    assertEquals(end.receive(made).verdict, VERDICT.shot);
    assertEquals(node.counted(DropReason.ENDPOINT_NOT_READY).ingress, 1);
  });
}
