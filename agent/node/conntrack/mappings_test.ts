import { assertEquals } from "@std/assert";
import { NatFlags } from "../../../datapath/maps/generated.ts";
import { parseIp } from "../../../datapath/net/ip.ts";
import { mappingView } from "./mappings.ts";

const key = {
  source: parseIp("10.60.2.3"),
  sourcePort: 8080,
  destination: parseIp("192.168.60.1"),
  destinationPort: 40001,
  protocol: 6,
};

const entry = {
  address: parseIp("198.51.100.7"),
  port: 40000,
  frontend: parseIp("192.0.2.80"),
  frontendPort: 80,
  flags: NatFlags.REPLIED,
  owner: 0,
  used: 5_000_000_000n,
  acknowledged: [0, 0] as [number, number],
};

Deno.test("mappingView() turns the row of the way back to that of who began", () => {
  assertEquals(mappingView(key, entry, 8_000_000_000n), {
    protocol: "TCP",
    client: "198.51.100.7:40000",
    frontend: "192.0.2.80:80",
    own: "192.168.60.1:40001",
    peer: "10.60.2.3:8080",
    state: "established",
    idle: 3,
  });
});

Deno.test("mappingView() knows how a connection fares", () => {
  const state = (protocol: number, flags: number) =>
    mappingView({ ...key, protocol }, { ...entry, flags }, 0n).state;
  const { REPLIED, FIN_OUT, FIN_IN, RESET } = NatFlags;
  assertEquals([state(6, 0), state(6, REPLIED)], ["opening", "established"]);
  assertEquals(state(6, REPLIED | FIN_OUT), "established");
  assertEquals(state(6, REPLIED | FIN_OUT | FIN_IN), "closing");
  assertEquals(state(6, RESET), "closing");
  assertEquals([state(17, 0), state(17, REPLIED)], ["unreplied", "replied"]);
});
