import { assertEquals, assertMatch } from "@std/assert";
import { parseCidr } from "../../../datapath/net/ip.ts";
import type { ClusterNode } from "../../cluster/rows.ts";
import { mtuProblems, podCidrProblems } from "./restart_problems.ts";

Deno.test("mtuProblems() names devices whose MTU is smaller than it was when the agent started", () => {
  const devices = (...mtus: number[]) =>
    mtus.map((mtu, i) => ({ name: `eth${i}`, ifindex: i + 2, mtu, mac: "02:00:00:00:00:01" }));
  assertEquals(mtuProblems(1500, devices(1500, 9000)), []);
  const [problem, ...others] = mtuProblems(1500, devices(1500, 1400));
  assertEquals([problem?.source, problem?.reason], ["device eth1", "RestartNeeded"]);
  assertMatch(problem!.message, /its MTU is 1400, and the tunnel and pods count with 1500/);
  assertEquals(others, []);
});

Deno.test("podCidrProblems() names pod CIDRs that new pods do not get yet", () => {
  const node = (cidr?: string): ClusterNode => ({
    name: "here",
    local: true,
    addresses: [],
    ...(cidr ? { podCidrIpv4: parseCidr(cidr) } : {}),
  });
  const said = (before?: string, after?: string) =>
    podCidrProblems(node(before), node(after)).map(({ message }) => message);
  assertEquals(said("10.60.1.0/24", "10.60.1.0/24"), []);
  assertEquals(podCidrProblems(node("10.60.1.0/24"), undefined), []);
  assertMatch(
    said("10.60.1.0/24", "10.61.1.0/24")[0]!,
    /of 10.60.1.0\/24, and 10.61.1.0\/24 counts/,
  );
  assertMatch(said("10.60.1.0/24")[0]!, /of 10.60.1.0\/24, and none counts/);
});
