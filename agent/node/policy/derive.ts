/** From policies, identities and endpoints to what each endpoint is to be judged by. */

import { reservedIdentities } from "../../cluster/identities.ts";
import { type CidrIdentity, numberCidrs } from "../identity/cidr.ts";
import type { LabelMap } from "../../cluster/labels.ts";
import type {
  CiliumEndpoint,
  CiliumIdentity,
  NamedPort,
  PolicyResource,
} from "../../kubernetes/resources.ts";
import { type Derivation, derive } from "../../core/derive.ts";
import { formatObject, type Problem, problemTable } from "../../core/problem.ts";
import type { ResourceTables } from "../../kubernetes/resource_tables.ts";
import { Table } from "../../core/table.ts";
import { type CompiledPolicy, compilePolicy, policyCidrs } from "./compile.ts";
import type { Cookies } from "./cookies.ts";
import type { WantedPolicy } from "./installer.ts";
import { policiesFor, policyHash, type PolicyIdentity, resolve } from "./resolve.ts";

/** An endpoint of this node, as policies see it. */
export interface LocalSubject {
  /** The endpoint's number. */
  id: number;
  labels: LabelMap;
  namedPorts: readonly NamedPort[];
}

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
    | "CiliumIdentity"
    | "CiliumEndpoint"
  >
  & { subjects: Table<LocalSubject>; cookies: Cookies };

/** Tables that follow the policies. Dispose of it to stop that. */
export interface PolicyTables extends Disposable {
  compiled: Table<CompiledPolicy>;
  /** Identities of the prefixes that policies name. */
  cidrs: Table<CidrIdentity>;
  identities: Table<PolicyIdentity>;
  wanted: Table<WantedPolicy>;
  /** What of the policies is not in force as written. */
  problems: Table<Problem>;
  derivations: readonly Derivation[];
}

function namedPortsByIdentity(endpoints: readonly CiliumEndpoint[]): Map<number, NamedPort[]> {
  const byIdentity = new Map<number, Map<string, NamedPort>>();
  for (const { status } of endpoints) {
    for (const port of status["named-ports"] ?? []) {
      let ports = byIdentity.get(status.identity.id);
      if (!ports) byIdentity.set(status.identity.id, ports = new Map());
      ports.set(`${port.name}/${port.protocol}/${port.port}`, port);
    }
  }
  return new Map(
    [...byIdentity].map(([id, ports]) => [
      id,
      [...ports].sort(([a], [b]) => a < b ? -1 : 1).map(([, port]) => port),
    ]),
  );
}

function clusterIdentity(
  { metadata, "security-labels": labels }: CiliumIdentity,
  ports: ReadonlyMap<number, NamedPort[]>,
): PolicyIdentity {
  const id = Number(metadata.name);
  const namedPorts = ports.get(id);
  return { id, labels, ...(namedPorts ? { namedPorts } : {}) };
}

/** Wires the derivations; see the module. */
export function derivePolicies(inputs: PolicyInputs): PolicyTables {
  const { subjects, cookies } = inputs;
  const policyTables: { rows(): PolicyResource[] }[] = [
    inputs.NetworkPolicy,
    inputs.CiliumNetworkPolicy,
    inputs.CiliumClusterwideNetworkPolicy,
  ];
  const compiled = new Table<CompiledPolicy>({
    name: "compiled-policies",
    key: ({ kind, namespace, name, path }) => `${kind}/${namespace}/${name}/${path}`,
    equal: (a, b) => a === b,
  });
  const cidrs = new Table<CidrIdentity>({
    name: "cidr-identities",
    key: ({ id }) => String(id),
  });
  const identities = new Table<PolicyIdentity>({
    name: "policy-identities",
    key: ({ id }) => String(id),
  });
  const wanted = new Table<WantedPolicy>({
    name: "wanted-policies",
    key: ({ endpoint }) => String(endpoint),
    equal: (a, b) => a.hash === b.hash,
  });
  const problems = problemTable("policy-problems");

  // A policy is compiled once for as long as its row is the same.
  const known = new WeakMap<PolicyResource, CompiledPolicy[]>();
  const compileOnce = (resource: PolicyResource) => {
    let result = known.get(resource);
    if (!result) known.set(resource, result = compilePolicy(resource, cookies));
    return result;
  };

  const derivations = [
    derive(
      [inputs.NetworkPolicy, inputs.CiliumNetworkPolicy, inputs.CiliumClusterwideNetworkPolicy],
      () => policyTables.flatMap((table) => table.rows()).flatMap(compileOnce),
      compiled,
    ),
    derive([compiled], () => numberCidrs(policyCidrs(compiled.rows())), cidrs),
    derive([inputs.CiliumIdentity, inputs.CiliumEndpoint, cidrs], () => {
      const ports = namedPortsByIdentity(inputs.CiliumEndpoint.rows());
      return [
        ...reservedIdentities(),
        ...inputs.CiliumIdentity.rows().map((row) => clusterIdentity(row, ports)),
        ...cidrs.rows(),
      ];
    }, identities),
    derive([compiled, identities, subjects], () => {
      const policies = compiled.rows();
      const all = identities.rows();
      const indexes = new Map(policies.map((policy, i) => [policy, i]));
      const results = new Map<string, Omit<WantedPolicy, "endpoint">>();
      return subjects.rows().map(({ id, labels, namedPorts }) => {
        const own = policiesFor(labels, policies);
        const key = JSON.stringify([own.map((policy) => indexes.get(policy)), namedPorts]);
        let result = results.get(key);
        if (!result) {
          const policy = resolve({ labels, namedPorts }, own, all, cookies);
          results.set(key, result = { hash: policyHash(policy), policy });
        }
        return { endpoint: id, ...result };
      });
    }, wanted),
    derive(
      [compiled],
      () =>
        compiled.rows().flatMap(({ kind, namespace, name, problems }) => {
          const object = { kind, namespace, name };
          return problems.map(({ field, message }): Problem => ({
            source: formatObject(object),
            object,
            field,
            reason: "NotSupported",
            message,
          }));
        }),
      problems,
    ),
  ];
  return {
    compiled,
    cidrs,
    identities,
    wanted,
    problems,
    derivations,
    [Symbol.dispose]() {
      for (const derivation of derivations) derivation[Symbol.dispose]();
    },
  };
}
