/** From policies, identities and endpoints to what each endpoint is to be judged by. */

import { type Cidr, parseCidr } from "../../../datapath/net/ip.ts";
import type { ClusterStore } from "../../cluster/cluster_store.ts";
import { RESERVED_IDENTITIES, reservedIdentities } from "../../cluster/identities.ts";
import { type CidrIdentity, cidrKey, CidrNumbers } from "../identity/cidr.ts";
import type { PolicyResource } from "../../kubernetes/resources.ts";
import { deriveGroups, type GroupInput, groupInput, rowsOf } from "../../core/derive_groups.ts";
import { formatObject, type Problem, problemTable } from "../../core/problem.ts";
import type { ResourceTables } from "../../kubernetes/resource_tables.ts";
import { type Change, Table } from "../../core/table.ts";
import type { ApiServer } from "./api_servers.ts";
import { compilePolicy } from "./compile.ts";
import { type CompiledPolicy, policyCidrs } from "./policy_rule.ts";
import type { Cookies } from "./cookies.ts";
import type { WantedPolicy } from "./installer.ts";
import { NamedPortsByIdentity } from "./named_ports.ts";
import type { PolicyIdentity } from "./peers.ts";
import { type LocalSubject, PolicySets } from "./policy_sets.ts";

/** A table of this node's endpoints. */
export function localSubjectTable(): Table<LocalSubject> {
  return new Table<LocalSubject>({ name: "policy-subjects", key: ({ id }) => String(id) });
}

/** What {@linkcode derivePolicies} reads. */
export type PolicyInputs =
  & Pick<
    ResourceTables,
    | "NetworkPolicy"
    | "CiliumNetworkPolicy"
    | "CiliumClusterwideNetworkPolicy"
  >
  & Pick<ClusterStore, "addresses" | "identities">
  & {
    subjects: Table<LocalSubject>;
    apiServers: Table<ApiServer>;
    cookies: Cookies;
  };

/** Tables that follow the policies. Dispose of it to stop that. */
export interface PolicyTables extends Disposable {
  compiled: Table<CompiledPolicy>;
  /** Identities of the prefixes that policies name. */
  cidrs: Table<CidrIdentity>;
  identities: Table<PolicyIdentity>;
  wanted: Table<WantedPolicy>;
  /** What of the policies is not in force as written. */
  problems: Table<Problem>;
}

/** The prefixes that policies name, and how often. */
class PrefixUses {
  #uses = new Map<string, { cidr: Cidr; count: number }>();

  /** Returns the texts of the prefixes that a policy's change is about. */
  apply(change: Change<CompiledPolicy>): string[] {
    const before = change.kind === "added" ? [] : policyCidrs([change.previous]);
    const after = change.kind === "deleted" ? [] : policyCidrs([change.row]);
    const texts = [...before, ...after].map(cidrKey);
    for (const [i, cidr] of [...before, ...after].entries()) {
      const text = texts[i]!;
      const count = (this.#uses.get(text)?.count ?? 0) + (i < before.length ? -1 : 1);
      if (count > 0) this.#uses.set(text, { cidr, count });
      else this.#uses.delete(text);
    }
    return texts;
  }

  get(text: string): Cidr | undefined {
    return this.#uses.get(text)?.cidr;
  }
}

function problemsOf({ kind, namespace, name, problems }: CompiledPolicy): Problem[] {
  const object = { kind, namespace, name };
  return problems.map(({ field, reason, message }) => ({
    source: formatObject(object),
    object,
    field,
    reason,
    message,
  }));
}

/** Policies of all kinds as rules; each is compiled when it changes. */
function deriveCompiled(inputs: PolicyInputs) {
  const compiled = new Table<CompiledPolicy>({
    name: "compiled-policies",
    key: ({ kind, namespace, name, path }) => `${kind}/${namespace}/${name}/${path}`,
    equal: (a, b) => a === b,
  });
  const problems = problemTable("policy-problems");
  const find = (group: string): PolicyResource | undefined => {
    const slash = group.indexOf("/");
    const kind = group.slice(0, slash) as PolicyResource["kind"];
    return inputs[kind].get(group.slice(slash + 1));
  };
  const input = <Row extends PolicyResource>(kind: PolicyResource["kind"], table: Table<Row>) =>
    groupInput(table, ({ key }) => [`${kind}/${key}`]);
  const derivation = deriveGroups<CompiledPolicy>({
    inputs: [
      input("NetworkPolicy", inputs.NetworkPolicy),
      input("CiliumNetworkPolicy", inputs.CiliumNetworkPolicy),
      input("CiliumClusterwideNetworkPolicy", inputs.CiliumClusterwideNetworkPolicy),
    ],
    output: compiled,
    problems,
    compute(group) {
      const resource = find(group);
      if (!resource) return { rows: [] };
      const rows = compilePolicy(resource, inputs.cookies);
      return { rows, problems: rows.flatMap(problemsOf) };
    },
  });
  return { compiled, problems, derivation };
}

/** The label of the entity kube-apiserver. */
const OF_API_SERVER = { "reserved:kube-apiserver": "" };

/** The address that a prefix is of; empty for one of several. */
function addressOf(prefix: string): string {
  const single = prefix.includes(":") ? "/128" : "/32";
  return prefix.endsWith(single) ? prefix.slice(0, -single.length) : "";
}

/** Identities of the prefixes that policies name, and of API servers elsewhere in the world. */
function deriveCidrs(compiled: Table<CompiledPolicy>, apiServers: Table<ApiServer>) {
  const cidrs = new Table<CidrIdentity>({ name: "cidr-identities", key: ({ id }) => String(id) });
  const uses = new PrefixUses();
  const numbers = new CidrNumbers();
  const derivation = deriveGroups<CidrIdentity>({
    inputs: [
      groupInput(compiled, (change) => uses.apply(change)),
      groupInput(
        apiServers,
        (change) => [...rowsOf(change)].map(({ address }) => cidrKey(parseCidr(address))),
      ),
    ],
    output: cidrs,
    compute(text) {
      const server = apiServers.get(addressOf(text))?.at === "world";
      const cidr = uses.get(text) ?? (server ? parseCidr(text) : undefined);
      if (cidr) {
        const identity = numbers.identity(cidr);
        const labels = { ...identity.labels, ...server ? OF_API_SERVER : {} };
        return { rows: [{ ...identity, labels }] };
      }
      numbers.release(text);
      return { rows: [] };
    },
  });
  return { cidrs, derivation };
}

/** All identities: the reserved ones, the cluster's, and those of prefixes. */
function deriveIdentities(inputs: PolicyInputs, cidrs: Table<CidrIdentity>) {
  const identities = new Table<PolicyIdentity>({
    name: "policy-identities",
    key: ({ id }) => String(id),
  });
  const ports = new NamedPortsByIdentity();
  const reserved = new Map(reservedIdentities().map((row) => [String(row.id), row]));
  const host = String(RESERVED_IDENTITIES.host);
  const reservedRow = (key: string) => {
    const row = reserved.get(key);
    const isServer = row && key === host &&
      inputs.apiServers.rows().some(({ at }) => at === "host");
    return isServer ? { ...row, labels: { ...row.labels, ...OF_API_SERVER } } : row;
  };
  const constant: GroupInput = {
    table: cidrs,
    watch(touch) {
      for (const id of reserved.keys()) touch(id);
      return { [Symbol.dispose]: () => {} };
    },
  };
  const derivation = deriveGroups<PolicyIdentity>({
    inputs: [
      constant,
      groupInput(cidrs, ({ key }) => [key]),
      groupInput(inputs.identities, ({ key }) => [key]),
      groupInput(inputs.addresses, (change) => ports.apply(change)),
      groupInput(inputs.apiServers, () => [host]),
    ],
    output: identities,
    compute(key) {
      const row = inputs.identities.get(key);
      const other = cidrs.get(key) ?? (row ? undefined : reservedRow(key));
      if (other) return { rows: [other] };
      if (!row) return { rows: [] };
      const { id, labels } = row;
      const namedPorts = ports.get(id);
      return { rows: [{ id, labels, ...(namedPorts ? { namedPorts } : {}) }] };
    },
  });
  return { identities, derivation };
}

/** Wires the derivations; see the module. */
export function derivePolicies(inputs: PolicyInputs): PolicyTables {
  const { subjects, cookies } = inputs;
  using stack = new DisposableStack();
  const { compiled, problems, derivation: compiling } = deriveCompiled(inputs);
  stack.use(compiling);
  const { cidrs, derivation: numbering } = deriveCidrs(compiled, inputs.apiServers);
  stack.use(numbering);
  const { identities, derivation: identifying } = deriveIdentities(inputs, cidrs);
  stack.use(identifying);
  const wanted = new Table<WantedPolicy>({
    name: "wanted-policies",
    key: ({ endpoint }) => String(endpoint),
    equal: (a, b) => a.hash === b.hash,
  });
  const sets = new PolicySets(cookies);
  stack.use(deriveGroups<WantedPolicy>({
    inputs: [
      groupInput(compiled, (change) => sets.policyChanged(change)),
      groupInput(identities, (change) => sets.identityChanged(change)),
      groupInput(subjects, (change) => sets.subjectChanged(change)),
    ],
    output: wanted,
    compute(key) {
      const resolved = sets.resolve(key);
      return { rows: resolved ? [{ endpoint: Number(key), ...resolved }] : [] };
    },
  }));
  const moved = stack.move();
  return {
    compiled,
    cidrs,
    identities,
    wanted,
    problems,
    [Symbol.dispose]: () => moved.dispose(),
  };
}
