import { assertEquals, assertMatch } from "@std/assert";
import { settled } from "../../core/schedule.ts";
import { parseManifest } from "../../kubernetes/manifest.ts";
import { createResourceTables } from "../../kubernetes/resource_tables.ts";
import type { Node, PolicyResource } from "../../kubernetes/resources.ts";
import { Table } from "../../core/table.ts";
import { deriveNodes } from "../nodes/nodes.ts";
import { apiServerTable } from "./api_servers.ts";
import { compilePolicy } from "./compile.ts";
import { Cookies } from "./cookies.ts";
import { derivePeerProblems } from "./peer_problems.ts";
import type { CompiledPolicy } from "./policy_rule.ts";

const read = (resource: object) => {
  const { resources, problems } = parseManifest(JSON.stringify(resource));
  assertEquals(problems, []);
  return resources[0]!.resource;
};
const node = read({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: "node-a" },
  spec: { podCIDRs: ["10.60.1.0/24", "fd60:1::/64"] },
  status: { addresses: [{ type: "InternalIP", address: "192.168.60.1" }] },
}) as Node;

/** Prefixes with exceptions, and whose addresses they hold. */
const BLOCKS: [cidr: string, except: string[], whose: RegExp | undefined][] = [
  ["0.0.0.0/0", [], /pods of node node-a|node node-a/],
  ["::/0", [], /pods of node node-a/],
  ["10.0.0.0/8", [], /pods of node node-a/],
  ["10.60.1.7/32", [], /pods of node node-a/],
  ["192.168.60.1/32", [], /node node-a/],
  ["fd60:1::/48", [], /pods of node node-a/],
  ["0.0.0.0/0", ["10.0.0.0/8", "192.168.0.0/16"], undefined],
  ["0.0.0.0/0", ["10.0.0.0/8"], /node node-a/],
  ["0.0.0.0/0", ["10.60.1.0/25", "192.168.0.0/16"], /pods of node node-a/],
  ["203.0.113.0/24", [], undefined],
  ["10.60.2.0/24", [], undefined],
];

Deno.test("a prefix that holds addresses of pods or nodes is a problem, as it is not about these", async (t) => {
  const policies = {
    NetworkPolicy: (cidr: string, except: string[]) => ({
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: "p" },
      spec: { egress: [{}, { to: [{ podSelector: {} }, { ipBlock: { cidr, except } }] }] },
    }),
    CiliumNetworkPolicy: (cidr: string, except: string[]) => ({
      apiVersion: "cilium.io/v2",
      kind: "CiliumNetworkPolicy",
      metadata: { name: "p" },
      spec: { endpointSelector: {}, egress: [{}, { toCIDRSet: [{ cidr, except }] }] },
    }),
  };
  for (const [kind, make] of Object.entries(policies)) {
    for (const [cidr, except, whose] of BLOCKS) {
      await t.step(`${kind} ${cidr} except ${except.join()}`, async () => {
        const tables = createResourceTables();
        const compiled = new Table<CompiledPolicy>({ name: "compiled", key: ({ kind }) => kind });
        using nodes = deriveNodes(tables.Node, "node-b");
        const apiServers = apiServerTable();
        using derived = derivePeerProblems({ compiled, apiServers, nodes: nodes.nodes });
        const said = async () => {
          await settled();
          return derived.problems.rows();
        };
        const resource = read(make(cidr, except)) as PolicyResource;
        compiled.replace(compilePolicy(resource, new Cookies()));
        assertEquals(await said(), []);
        tables.Node.set(node);
        const [problem, ...others] = await said();
        assertEquals([problem !== undefined, others], [whose !== undefined, []]);
        if (problem) {
          assertMatch(problem.message, whose!);
          assertMatch(
            problem.message,
            /^spec.egress\[1\]: (ipBlock|prefix) .* is about others alone/,
          );
          assertEquals(problem.source, `${kind} default/p`);
        }
        tables.Node.replace([]);
        assertEquals(await said(), []);
      });
    }
  }
});
