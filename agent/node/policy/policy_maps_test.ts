import { assertEquals } from "@std/assert";
import { BpfMap, type Codec, TypedMap } from "../../../datapath/bpf/mod.ts";
import { maps } from "../../../datapath/maps/generated.ts";
import { Reconciler } from "../../core/reconciler.ts";
import { policyRow, policyTable, policyTarget, samePolicy } from "./policy_maps.ts";
import type { PolicyEntry, ResolvedPolicy } from "./resolve.ts";

function mapOf<K, V>(
  { name, type, key, value }: { name: string; type: number; key: Codec<K>; value: Codec<V> },
) {
  const sizes = { keySize: key.size, valueSize: value.size, maxEntries: 64 };
  return new TypedMap(BpfMap.create({ name, type, ...sizes }), { key, value });
}

function policyOf(...identities: number[]): ResolvedPolicy {
  const side = { enforced: true, defaultCookie: 7 };
  const entries = identities.map((identity): PolicyEntry => ({
    identity,
    direction: "ingress",
    protocol: 6,
    port: 80,
    prefixLength: 16,
    verdict: "allow",
    precedence: 1,
    cookie: 9,
  }));
  return { ingress: side, egress: side, entries };
}

Deno.test("policyTarget() keeps the kernel's rules as they are wanted, whatever is changed there", async () => {
  using policies = mapOf(maps.pilus_policies);
  using rules = mapOf(maps.pilus_rules);
  const table = policyTable();
  const hash = (digit: string) => digit.repeat(16);
  await using reconciler = new Reconciler({
    name: "policies",
    desired: table,
    target: policyTarget(policies, rules),
    matches: samePolicy,
  });
  const found = () =>
    [...rules.keys()].map(({ policy, identity }) => `${policy}:${identity}`).sort();
  table.set(policyRow(1, hash("a"), policyOf(300, 301)));
  table.set(policyRow(2, hash("b"), policyOf(300)));
  await reconciler.start();
  assertEquals(found(), ["1:300", "1:301", "2:300"]);
  assertEquals(await reconciler.repair(), 0);

  // a rule more, a rule less, a rule changed, rules of a policy that there is not
  const [key, value] = [...rules.entries()].find(([{ policy }]) => policy === 2)!;
  const other = { ...key, identity: 999 };
  rules.set(other, value);
  assertEquals([await reconciler.repair(), await reconciler.repair(), found()], [
    1,
    0,
    ["1:300", "1:301", "2:300"],
  ]);
  rules.delete(key);
  assertEquals([await reconciler.repair(), await reconciler.repair()], [1, 0]);
  rules.set(key, { ...value, cookie: 1 });
  assertEquals([await reconciler.repair(), rules.get(key)], [1, value]);
  rules.set({ ...key, policy: 5 }, value);
  assertEquals([await reconciler.repair(), found()], [1, ["1:300", "1:301", "2:300"]]);

  table.delete("1");
  await reconciler.flush();
  assertEquals([found(), [...policies.keys()]], [["2:300"], [2]]);
});
