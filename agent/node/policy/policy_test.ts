import { assert, assertEquals, assertNotEquals } from "@std/assert";
import {
  cidrContains,
  cidrContainsCidr,
  isIpv4,
  isIpv4Cidr,
  parseIp,
} from "../../../datapath/net/ip.ts";
import { reservedIdentities } from "../../cluster/identities.ts";
import { numberCidrs } from "../identity/testdata/number_cidrs.ts";
import type {
  CiliumNetworkPolicy,
  CiliumPolicySpec,
  PolicyResource,
} from "../../kubernetes/resources.ts";
import { compilePolicy } from "./compile.ts";
import { type CompiledPolicy, policyCidrs } from "./policy_rule.ts";
import { Cookies, type Direction } from "./cookies.ts";
import { evaluate } from "./evaluate.ts";
import type { PolicyIdentity } from "./peers.ts";
import { portPrefixes, resolve, type ResolvedPolicy } from "./resolve.ts";
import { generator, pods, random, type TestPod } from "./testdata/manifests.ts";
import { type Flow, oracle, type Other } from "./testdata/oracle.ts";
import { policiesFor, policyHash } from "./testdata/whole.ts";

const EXTERNAL = ["8.8.8.8", "10.1.2.3", "10.1.9.9", "10.2.0.1", "2001:db8::1", "2001:db8:1::1"];

function identitiesFor(all: TestPod[], compiled: CompiledPolicy[]): PolicyIdentity[] {
  return [
    ...reservedIdentities(),
    ...all.map(({ id, labels, namedPorts }) => ({ id, labels, namedPorts })),
    ...numberCidrs(policyCidrs(compiled)),
  ];
}

/** The identity of the longest prefix that holds the address: what the kernel's look-up gives. */
function identityOfAddress(ip: string, identities: PolicyIdentity[]): number {
  const address = parseIp(ip);
  let best: PolicyIdentity | undefined;
  for (const identity of identities) {
    if (!identity.cidr || !cidrContains(identity.cidr, address)) continue;
    if (isIpv4(address) !== isIpv4Cidr(identity.cidr)) continue;
    if (!best || cidrContainsCidr(best.cidr!, identity.cidr)) best = identity;
  }
  return best?.id ?? (ip.includes(":") ? 10 : 9);
}

Deno.test("resolve() and evaluate() agree with a reading of the specifications on 60,000 random flows", () => {
  const below = random(20261123);
  const { pick, policy } = generator(below);
  const all = pods();
  const verdicts = { allow: 0, deny: 0 };
  for (let round = 0; round < 300; round++) {
    const cookies = new Cookies();
    const policies = Array.from({ length: 1 + below(6) }, (_, i) => policy(i));
    const compiled = policies.flatMap((each) => compilePolicy(each, cookies));
    const identities = identitiesFor(all, compiled);
    const resolved = new Map<TestPod, ResolvedPolicy>();
    for (let i = 0; i < 200; i++) {
      const subject = pick(all);
      let result = resolved.get(subject);
      if (!result) {
        const own = policiesFor(subject.labels, compiled);
        resolved.set(subject, result = resolve(subject, own, identities, cookies));
      }
      const other = pick<() => Other>([
        () => ({ pod: pick(all) }),
        () => ({ pod: pick(all) }),
        () => ({ ip: pick(EXTERNAL) }),
        () => pick([{ reserved: "host", id: 1 }, { reserved: "remote-node", id: 6 }]),
      ])();
      const flow: Flow = {
        other,
        direction: pick(["ingress", "egress"] as const),
        protocol: pick([6, 6, 17, 132, 1, 58]),
        port: pick([0, 1, 8, 53, 79, 80, 81, 97, 128, 1000, 1017, 4080, 5000, 8080, 8081, 12080]),
      };
      const identity = "pod" in other
        ? other.pod.id
        : "ip" in other
        ? identityOfAddress(other.ip, identities)
        : other.id;
      const expected = oracle.verdict(policies, subject, flow);
      const { verdict, cookie, entry } = evaluate(result, { ...flow, identity });
      assertEquals(
        verdict,
        expected,
        JSON.stringify({ policies, subject, flow, identity, entry }, null, 1),
      );
      verdicts[verdict]++;
      if (cookie !== 0) assertEquals(cookies.get(cookie)?.verdict, verdict);
      assert(cookie !== 0 || !entry);
    }
  }
  assert(verdicts.allow > 10_000 && verdicts.deny > 10_000, JSON.stringify(verdicts));
});

Deno.test("portPrefixes() covers exactly the range", () => {
  const below = random(7);
  assertEquals(portPrefixes(1, 65535).length, 16);
  for (let i = 0; i < 200; i++) {
    const first = below(65536);
    const last = first + below(65536 - first);
    const covered = portPrefixes(first, last).map(({ port, prefixLength }) => {
      assertEquals(port & ((1 << (16 - prefixLength)) - 1), 0);
      return [port, port + (1 << (16 - prefixLength)) - 1];
    });
    assertEquals(covered[0]![0], first);
    assertEquals(covered.at(-1)![1], last);
    for (let j = 1; j < covered.length; j++) assertEquals(covered[j]![0], covered[j - 1]![1]! + 1);
  }
});

Deno.test("resolve() gives equal policies byte for byte, whatever the order of the manifests", () => {
  const below = random(3);
  const { policy } = generator(below);
  const all = pods();
  for (let round = 0; round < 50; round++) {
    const policies = Array.from({ length: 5 }, (_, i) => policy(i));
    const hash = (order: PolicyResource[]) => {
      const cookies = new Cookies();
      const compiled = order.flatMap((each) => compilePolicy(each, cookies));
      const identities = identitiesFor(all, compiled);
      const own = policiesFor(all[0]!.labels, compiled);
      return policyHash(resolve(all[0]!, own, identities, cookies));
    };
    assertEquals(hash(policies), hash(policies.toReversed()));
  }
});

function ciliumPolicy(spec: CiliumPolicySpec): CiliumNetworkPolicy {
  return {
    kind: "CiliumNetworkPolicy",
    metadata: { name: "p", namespace: "red", labels: {} },
    spec,
  };
}

Deno.test("compilePolicy() says what is not supported, and what it says fails closed", () => {
  const verdictOf = (spec: CiliumPolicySpec, direction: Direction): [string, readonly string[]] => {
    const cookies = new Cookies();
    const compiled = compilePolicy(ciliumPolicy(spec), cookies);
    const all = pods();
    const resolved = resolve(all[0]!, compiled, identitiesFor(all, compiled), cookies);
    const query = { identity: all[1]!.id, direction, protocol: 6, port: 80 };
    return [
      evaluate(resolved, query).verdict,
      compiled[0]!.problems.map(({ message }) => message),
    ];
  };
  const http = { toPorts: [{ ports: [{ port: "80" }], rules: { http: [{}] } }] };
  assertEquals(verdictOf({ endpointSelector: {}, egress: [{ toFQDNs: [{}] }] }, "egress"), [
    "deny",
    ["spec.egress[0]: toFQDNs not supported yet, so the rule allows nothing"],
  ]);
  assertEquals(verdictOf({ endpointSelector: {}, ingress: [http] }, "ingress"), [
    "deny",
    ["spec.ingress[0]: toPorts.rules not supported yet, so the rule allows nothing"],
  ]);
  const open = { endpointSelector: {}, ingress: [http], enableDefaultDeny: { ingress: false } };
  assertEquals(verdictOf(open, "ingress"), [
    "deny",
    ["spec.ingress[0]: toPorts.rules not supported yet, so the rule denies all that it is about"],
  ]);
  const denyServices = {
    endpointSelector: {},
    egressDeny: [{ toServices: [{}] }],
    enableDefaultDeny: { egress: false },
  };
  assertEquals(verdictOf(denyServices, "egress"), [
    "deny",
    ["spec.egressDeny[0]: toServices not supported yet, so the rule denies all peers"],
  ]);
});

Deno.test("Cookies lead from a verdict to the rule, with the same number after a restart", () => {
  const run = () => {
    const cookies = new Cookies();
    const compiled = compilePolicy(
      ciliumPolicy({ endpointSelector: {}, ingress: [{ fromEntities: ["world"] }] }),
      cookies,
    );
    const all = pods();
    const resolved = resolve(all[0]!, compiled, identitiesFor(all, compiled), cookies);
    const query = { direction: "ingress" as const, protocol: 6, port: 80 };
    return [2, all[1]!.id].map((identity) => {
      const { cookie } = evaluate(resolved, { ...query, identity });
      return [cookie, cookies.get(cookie)?.text];
    });
  };
  const [allowed, denied] = run();
  assertEquals(allowed![1], "allowed by CiliumNetworkPolicy red/p, spec.ingress[0]");
  assertEquals(
    denied![1],
    "no rule allows it, and ingress is denied by default because of CiliumNetworkPolicy red/p",
  );
  assertNotEquals(allowed![0], denied![0]);
  assertEquals(run(), [allowed!, denied!]);
});
