import { assert, assertEquals, assertNotEquals, assertStrictEquals } from "@std/assert";
import {
  cidrContains,
  cidrContainsCidr,
  isIpv4,
  isIpv4Cidr,
  parseCidr,
  parseIp,
} from "../../../datapath/net/ip.ts";
import { reservedIdentities } from "../../cluster/identities.ts";
import { numberCidrs } from "../identity/cidr.ts";
import { identityLabels, type LabelMap } from "../../cluster/labels.ts";
import type {
  CiliumNetworkPolicy,
  CiliumPolicySpec,
  CiliumRule,
  LabelSelector,
  NamedPort,
  Namespace,
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
  PolicyResource,
} from "../../kubernetes/resources.ts";
import { settled } from "../../core/schedule.ts";
import { createResourceTables } from "../../kubernetes/resource_tables.ts";
import { type CompiledPolicy, compilePolicy, policyCidrs } from "./compile.ts";
import { Cookies, type Direction } from "./cookies.ts";
import { derivePolicies, localSubjectTable } from "./derive.ts";
import {
  evaluate,
  policiesFor,
  policyHash,
  type PolicyIdentity,
  portPrefixes,
  resolve,
  type ResolvedPolicy,
} from "./resolve.ts";

/** Numbers from a seed, the same in every run (mulberry32). */
function random(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

interface TestPod {
  id: number;
  namespace: string;
  podLabels: Record<string, string>;
  labels: LabelMap;
  namedPorts: NamedPort[];
}

const NAMESPACES: Record<string, Record<string, string>> = {
  red: { team: "x" },
  blue: { team: "y", stage: "live" },
  green: { team: "x", stage: "live" },
};
const EXTERNAL = ["8.8.8.8", "10.1.2.3", "10.1.9.9", "10.2.0.1", "2001:db8::1", "2001:db8:1::1"];

function namespaceOf(name: string): Namespace {
  return { kind: "Namespace", metadata: { name, namespace: "", labels: NAMESPACES[name] ?? {} } };
}

function pods(): TestPod[] {
  const result: TestPod[] = [];
  for (const namespace of Object.keys(NAMESPACES)) {
    for (const app of ["web", "api", "db"]) {
      for (const tier of [undefined, "front"]) {
        const podLabels = { app, ...(tier ? { tier } : {}) };
        const metadata = { name: app, namespace, labels: podLabels };
        result.push({
          id: 1000 + result.length,
          namespace,
          podLabels,
          labels: identityLabels({ metadata }, namespaceOf(namespace)),
          namedPorts: [
            { name: "http", port: app === "api" ? 8081 : 8080, protocol: "TCP" },
            ...(app === "db" ? [{ name: "http", port: 53, protocol: "UDP" as const }] : []),
          ],
        });
      }
    }
  }
  return result;
}

/** The other side of a flow: a pod, an entity with a reserved identity, or an address outside. */
type Other = { pod: TestPod } | { reserved: string; id: number } | { ip: string };
interface Flow {
  other: Other;
  direction: Direction;
  protocol: number;
  port: number;
}

const NUMBERS: Record<string, number> = { TCP: 6, UDP: 17, SCTP: 132 };

/** The oracle: the specifications read word by word, on manifests, pods and addresses. */
const oracle = {
  selector(selector: LabelSelector, labels: Record<string, string>): boolean {
    for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
      if (labels[key] !== value) return false;
    }
    for (const { key, operator, values } of selector.matchExpressions ?? []) {
      const has = key in labels;
      const among = has && (values ?? []).includes(labels[key]!);
      if (operator === "In" && !among) return false;
      if (operator === "NotIn" && among) return false;
      if (operator === "Exists" && !has) return false;
      if (operator === "DoesNotExist" && has) return false;
    }
    return true;
  },

  inBlock(ip: string, cidr: string, except: string[] = []): boolean {
    const address = parseIp(ip);
    return cidr.includes(":") === ip.includes(":") && cidrContains(parseCidr(cidr), address) &&
      !except.some((inner) => cidrContains(parseCidr(inner), address));
  },

  k8sPeer(peer: NetworkPolicyPeer, namespace: string, other: Other): boolean {
    if (peer.ipBlock) {
      return "ip" in other && oracle.inBlock(other.ip, peer.ipBlock.cidr, peer.ipBlock.except);
    }
    if (!("pod" in other)) return false;
    const { pod } = other;
    if (peer.namespaceSelector) {
      const labels = {
        ...NAMESPACES[pod.namespace],
        "kubernetes.io/metadata.name": pod.namespace,
      };
      if (!oracle.selector(peer.namespaceSelector, labels)) return false;
    } else if (pod.namespace !== namespace) {
      return false;
    }
    return oracle.selector(peer.podSelector ?? {}, pod.podLabels);
  },

  named(name: string, protocol: number, subject: TestPod, flow: Flow): boolean {
    const responder = flow.direction === "ingress"
      ? subject
      : "pod" in flow.other
      ? flow.other.pod
      : undefined;
    return (responder?.namedPorts ?? []).some((port) =>
      port.name === name && NUMBERS[port.protocol] === flow.protocol && port.port === flow.port &&
      (protocol === 0 || protocol === flow.protocol)
    );
  },

  k8sPort(rule: NetworkPolicyPort, subject: TestPod, flow: Flow): boolean {
    const protocol = NUMBERS[rule.protocol ?? "TCP"]!;
    if (typeof rule.port === "string") return oracle.named(rule.port, protocol, subject, flow);
    if (flow.protocol !== protocol) return false;
    if (rule.port === undefined) return true;
    return flow.port >= rule.port && flow.port <= (rule.endPort ?? rule.port);
  },

  /** [allows, denies, has default deny] */
  k8s(policy: NetworkPolicy, subject: TestPod, flow: Flow): [boolean, boolean, boolean] {
    const { spec, metadata } = policy;
    if (metadata.namespace !== subject.namespace) return [false, false, false];
    if (!oracle.selector(spec.podSelector, subject.podLabels)) return [false, false, false];
    const types = spec.policyTypes ?? (spec.egress?.length ? ["Ingress", "Egress"] : ["Ingress"]);
    if (!types.includes(flow.direction === "ingress" ? "Ingress" : "Egress")) {
      return [false, false, false];
    }
    const rules = flow.direction === "ingress"
      ? (spec.ingress ?? []).map((rule) => ({ peers: rule.from, ports: rule.ports }))
      : (spec.egress ?? []).map((rule) => ({ peers: rule.to, ports: rule.ports }));
    const allows = rules.some(({ peers, ports }) =>
      (!peers?.length ||
        peers.some((peer) => oracle.k8sPeer(peer, metadata.namespace, flow.other))) &&
      (!ports?.length || ports.some((port) => oracle.k8sPort(port, subject, flow)))
    );
    return [allows, false, true];
  },

  entity(entity: string, other: Other): boolean {
    const isWorld = "ip" in other || ("reserved" in other && other.reserved.startsWith("world"));
    switch (entity) {
      case "all":
        return true;
      case "none":
        return false;
      case "cluster":
        return !isWorld;
      case "world":
        return isWorld;
      case "world-ipv4":
      case "world-ipv6": {
        if ("ip" in other) return other.ip.includes(":") === (entity === "world-ipv6");
        return "reserved" in other && other.reserved === entity;
      }
      default:
        return "reserved" in other && other.reserved === entity;
    }
  },

  ciliumRule(rule: CiliumRule, namespace: string, subject: TestPod, flow: Flow): boolean {
    const word = flow.direction === "ingress" ? "from" : "to";
    const { other } = flow;
    const endpoints = rule[`${word}Endpoints`];
    const cidrs = rule[`${word}CIDR`];
    const sets = rule[`${word}CIDRSet`];
    const entities = rule[`${word}Entities`];
    const namesPeers = endpoints || cidrs || sets || entities;
    const namesPorts = rule.toPorts?.length || rule.icmps?.length;
    if (!namesPeers && !namesPorts) return false;
    const peer = !namesPeers ||
      endpoints?.some((selector) => {
        if (!("pod" in other)) return false;
        const labels: Record<string, string> = {
          ...other.pod.podLabels,
          "k8s:io.kubernetes.pod.namespace": other.pod.namespace,
        };
        const speaks = selector.matchLabels?.["k8s:io.kubernetes.pod.namespace"] !== undefined;
        return (speaks || other.pod.namespace === namespace) && oracle.selector(selector, labels);
      }) ||
      cidrs?.some((cidr) => "ip" in other && oracle.inBlock(other.ip, cidr)) ||
      sets?.some((set) => "ip" in other && oracle.inBlock(other.ip, set.cidr!, set.except)) ||
      entities?.some((entity) => oracle.entity(entity, other));
    if (!peer) return false;
    if (!namesPorts) return true;
    const ports = rule.toPorts?.some((toPort) =>
      !toPort.ports?.length || toPort.ports.some(({ port, endPort, protocol = "ANY" }) => {
        const number = protocol === "ANY" ? 0 : NUMBERS[protocol]!;
        if (!/^[0-9]+$/.test(port)) return oracle.named(port, number, subject, flow);
        if (number !== 0 && number !== flow.protocol) return false;
        if (Number(port) === 0) return true;
        if (![6, 17, 132].includes(flow.protocol)) return false;
        return flow.port >= Number(port) && flow.port <= (endPort ?? Number(port));
      })
    );
    const icmp = rule.icmps?.flatMap(({ fields }) => fields ?? []).some(({ family, type }) =>
      flow.protocol === (family === "IPv6" ? 58 : 1) && flow.port === type
    );
    return Boolean(ports || icmp);
  },

  cilium(policy: CiliumNetworkPolicy, subject: TestPod, flow: Flow): [boolean, boolean, boolean] {
    const { spec, metadata: { namespace } } = policy;
    if (!spec || namespace !== subject.namespace) return [false, false, false];
    if (!oracle.selector(spec.endpointSelector!, subject.podLabels)) return [false, false, false];
    const allow = spec[flow.direction] ?? [];
    const deny = spec[`${flow.direction}Deny`] ?? [];
    const matches = (rule: CiliumRule) => oracle.ciliumRule(rule, namespace, subject, flow);
    return [
      allow.some(matches),
      deny.some(matches),
      spec.enableDefaultDeny?.[flow.direction] ?? allow.length + deny.length > 0,
    ];
  },

  verdict(policies: PolicyResource[], subject: TestPod, flow: Flow): "allow" | "deny" {
    if (
      flow.direction === "ingress" && "reserved" in flow.other && flow.other.reserved === "host"
    ) {
      return "allow";
    }
    let allowed = false, enforced = false;
    for (const policy of policies) {
      const [allows, denies, enforces] = policy.kind === "NetworkPolicy"
        ? oracle.k8s(policy, subject, flow)
        : oracle.cilium(policy as CiliumNetworkPolicy, subject, flow);
      if (denies) return "deny";
      allowed ||= allows;
      enforced ||= enforces;
    }
    return allowed || !enforced ? "allow" : "deny";
  },
};

/** Random manifests. */
function generator(below: (n: number) => number) {
  const pick = <T>(values: readonly T[]): T => values[below(values.length)]!;
  const some = <T>(max: number, make: () => T): T[] => Array.from({ length: below(max + 1) }, make);
  const maybe = <T>(make: () => T): T | undefined => below(2) ? make() : undefined;
  const clean = <T extends object>(value: T): T =>
    Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as T;

  const selector = (): LabelSelector => {
    switch (below(5)) {
      case 0:
        return {};
      case 1:
        return { matchLabels: { app: pick(["web", "api", "db"]) } };
      case 2:
        return { matchLabels: { app: pick(["web", "api"]), tier: "front" } };
      case 3:
        return {
          matchExpressions: [{
            key: "app",
            operator: pick(["In", "NotIn"]),
            values: ["web", pick(["api", "db"])],
          }],
        };
      default:
        return { matchExpressions: [{ key: "tier", operator: pick(["Exists", "DoesNotExist"]) }] };
    }
  };
  const namespaceSelector = (): LabelSelector =>
    pick<LabelSelector>([
      {},
      { matchLabels: { team: "x" } },
      { matchLabels: { "kubernetes.io/metadata.name": "blue" } },
      { matchExpressions: [{ key: "stage", operator: "DoesNotExist" }] },
    ]);
  const block = () =>
    pick<{ cidr: string; except?: string[] }>([
      { cidr: "0.0.0.0/0" },
      { cidr: "::/0", except: ["2001:db8:1::/48"] },
      { cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] },
      { cidr: "10.1.2.0/24" },
      { cidr: "10.1.0.0/16", except: ["10.1.2.3/32"] },
    ]);
  const protocol = () => pick(["TCP", "UDP", "SCTP"] as const);
  const metadata = (i: number) => ({
    name: `p${i}`,
    namespace: pick(Object.keys(NAMESPACES)),
    labels: {},
  });
  const range = () => {
    const port = pick([1, 53, 79, 80, 1000, 8080]);
    return { port, endPort: port + pick([0, 1, 17, 4000]) };
  };

  const k8s = (i: number): NetworkPolicy => {
    const peer = (): NetworkPolicyPeer =>
      pick<() => NetworkPolicyPeer>([
        () => ({ podSelector: selector() }),
        () => ({ namespaceSelector: namespaceSelector() }),
        () => ({ podSelector: selector(), namespaceSelector: namespaceSelector() }),
        () => ({ ipBlock: block() }),
      ])();
    const port = (): NetworkPolicyPort =>
      clean(
        pick<() => NetworkPolicyPort>([
          () => ({ protocol: protocol() }),
          () => ({ port: pick([53, 80, 8080]) }),
          () => ({ protocol: protocol(), port: "http" }),
          () => ({ protocol: protocol(), ...range() }),
        ])(),
      );
    return {
      kind: "NetworkPolicy",
      metadata: metadata(i),
      spec: clean({
        podSelector: selector(),
        policyTypes: maybe(() =>
          pick<("Ingress" | "Egress")[]>([["Ingress"], ["Egress"], ["Ingress", "Egress"]])
        ) as ("Ingress" | "Egress")[],
        ingress: some(2, () => clean({ from: some(2, peer), ports: some(2, port) })),
        egress: some(2, () => clean({ to: some(2, peer), ports: some(2, port) })),
      }),
    };
  };

  const cilium = (i: number): CiliumNetworkPolicy => {
    const rule = (word: "from" | "to"): CiliumRule => {
      const entity = () =>
        pick([
          "all",
          "world",
          "world-ipv4",
          "world-ipv6",
          "cluster",
          "host",
          "remote-node",
          "none",
        ]);
      const endpoint = (): LabelSelector => {
        const { matchLabels, matchExpressions } = selector();
        const ns = below(2) ? { "k8s:io.kubernetes.pod.namespace": "blue" } : {};
        return clean({
          matchLabels: { ...matchLabels, ...ns },
          matchExpressions: matchExpressions!,
        });
      };
      const peers = pick<() => Record<string, unknown>>([
        () => ({}),
        () => ({ [`${word}Endpoints`]: some(2, endpoint) }),
        () => ({ [`${word}CIDR`]: some(2, () => block().cidr) }),
        () => ({ [`${word}CIDRSet`]: some(2, block) }),
        () => ({ [`${word}Entities`]: some(2, entity) }),
      ])();
      const ports = pick<() => CiliumRule>([
        () => ({}),
        () => ({
          toPorts: [{
            ports: some(
              2,
              () =>
                pick<() => { port: string; endPort?: number; protocol?: "TCP" | "UDP" | "ANY" }>([
                  () => ({ port: pick(["80", "8080", "0", "http"]) }),
                  () => ({ port: pick(["53", "http", "0"]), protocol: pick(["TCP", "UDP"]) }),
                  () => {
                    const { port, endPort } = range();
                    return { port: `${port}`, endPort, protocol: pick(["TCP", "UDP", "ANY"]) };
                  },
                ])(),
            ),
          }],
        }),
        () => ({
          icmps: [{ fields: [{ family: pick(["IPv4", "IPv6"]), type: pick([8, 0, 128]) }] }],
        }),
      ])();
      return { ...peers, ...ports };
    };
    return {
      kind: "CiliumNetworkPolicy",
      metadata: metadata(i),
      spec: clean<CiliumPolicySpec>({
        endpointSelector: selector(),
        ingress: some(2, () => rule("from")),
        ingressDeny: some(1, () => rule("from")),
        egress: some(2, () => rule("to")),
        egressDeny: some(1, () => rule("to")),
        enableDefaultDeny: maybe(() => ({ ingress: below(2) === 0 }))!,
      }),
    };
  };
  return { pick, policy: (i: number): PolicyResource => below(2) ? k8s(i) : cilium(i) };
}

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
  const mixed = { endpointSelector: {}, ingress: [{ fromCIDR: ["1.2.3.4"], fromEndpoints: [{}] }] };
  assertEquals(verdictOf(mixed, "ingress"), [
    "deny",
    [
      "spec.ingress[0]: fromEndpoints together with fromCIDR not supported yet, so the rule allows " +
      "nothing",
    ],
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

Deno.test("derivePolicies() follows its tables, and touches no endpoint but those that a change is about", async () => {
  const tables = createResourceTables();
  const subjects = localSubjectTable();
  using policy = derivePolicies({ ...tables, subjects, cookies: new Cookies() });
  const names = Array.from({ length: 100 }, (_, i) => `app${i}`);
  for (const [i, app] of names.entries()) {
    const metadata = { name: app, namespace: "red", labels: { app } };
    const labels = identityLabels({ metadata }, namespaceOf("red"));
    tables.CiliumIdentity.set({
      kind: "CiliumIdentity",
      metadata: { name: `${300 + i}`, namespace: "", labels: {} },
      "security-labels": labels,
    });
    subjects.set({ id: i + 1, labels, namedPorts: [] });
  }
  const policyFor = (app: string, port: number): NetworkPolicy => ({
    kind: "NetworkPolicy",
    metadata: { name: app, namespace: "red", labels: {} },
    spec: {
      podSelector: { matchLabels: { app } },
      ingress: [{
        from: [{ podSelector: {} }, { ipBlock: { cidr: "10.0.0.0/8" } }],
        ports: [{ port }],
      }],
    },
  });
  for (const app of names) tables.NetworkPolicy.set(policyFor(app, 80));
  await settled();
  assertEquals(policy.wanted.size, 100);
  assertEquals(policy.cidrs.size, 1);
  const before = policy.wanted.get("1")!, other = policy.wanted.get("2")!;
  assertEquals(before.policy.entries.length, 100 + 1 + 1);

  for (let i = 0; i < 5; i++) {
    tables.NetworkPolicy.set(policyFor("app0", 81 + i));
    await settled();
  }
  assertNotEquals(policy.wanted.get("1")!.hash, before.hash);
  assertStrictEquals(policy.wanted.get("2"), other);
});
