/** Policies: from resources to what each endpoint is judged by in the kernel. */

import { type RuleKey, RuleVerdict } from "../../../datapath/maps/generated.ts";
import { type Endpoint, endpointName } from "../../api/endpoint.ts";
import type { IdentityView, PolicyView, RuleView } from "../../api/views.ts";
import { formatLabels } from "../../cluster/labels.ts";
import type { Log } from "../../core/log.ts";
import { Reconciler } from "../../core/reconciler.ts";
import type { Table } from "../../core/table.ts";
import type { ClusterStore } from "../../cluster/cluster_store.ts";
import type { ClusterNode } from "../../cluster/rows.ts";
import type { ResourceTables } from "../../kubernetes/resource_tables.ts";
import type { AgentConfig } from "../config.ts";
import { endpointMapTarget } from "../endpoints/endpoint_map.ts";
import { findEndpoint } from "../endpoints/find_endpoint.ts";
import type { IdentityPart } from "../identity/identity_part.ts";
import type { OwnAddress } from "../ipcache/own_addresses.ts";
import type { Kernel } from "../kernel.ts";
import { gauge } from "../metrics.ts";
import { protocolName } from "../../core/protocols.ts";
import type { Part } from "../part.ts";
import { type ApiServer, deriveApiServers } from "./api_servers.ts";
import { Cookies, type RuleReference } from "./cookies.ts";
import { derivePolicies, type PolicyTables } from "./derive.ts";
import { assignmentTable, type PolicyAssignment, PolicyInstaller } from "./installer.ts";
import { derivePeerProblems } from "./peer_problems.ts";
import { policyTable, policyTarget, samePolicy } from "./policy_maps.ts";

/** See the module. */
export interface PolicyPart extends Part {
  tables: PolicyTables;
  apiServers: Table<ApiServer>;
  /** What each endpoint is judged by. */
  assignments: Table<PolicyAssignment>;
  installer: PolicyInstaller;
  /** The rule behind a cookie, in words. */
  rule(cookie: number): string | undefined;
  /** The rule behind a cookie. */
  reference(cookie: number): RuleReference | undefined;
  /** Labels of an identity, as texts. */
  labels(identity: number): string[] | undefined;
}

/** Wires policies to the maps of the kernel. */
export function policyPart(
  {
    config,
    log,
    kernel: { maps },
    resources,
    store: { addresses, identities },
    endpoints,
    identity: { identified, subjects },
    nodes,
    own,
  }: {
    config: AgentConfig;
    log: Log;
    kernel: Kernel;
    resources: ResourceTables;
    store: Pick<ClusterStore, "addresses" | "identities">;
    endpoints: Table<Endpoint>;
    identity: IdentityPart;
    nodes: Table<ClusterNode>;
    own: Table<OwnAddress>;
  },
): PolicyPart {
  const stack = new AsyncDisposableStack();
  const cookies = new Cookies();
  const policies = policyTable();
  const assignments = assignmentTable();
  const { apiServers } = stack.use(
    deriveApiServers({
      slices: resources.EndpointSlice,
      nodes,
      own,
      given: config.kubeApiserver,
    }),
  );
  const tables = stack.use(
    derivePolicies({ ...resources, addresses, identities, subjects, apiServers, cookies }),
  );
  const { compiled } = tables;
  const { problems } = stack.use(derivePeerProblems({ compiled, apiServers, nodes }));
  const target = policyTarget(maps.pilus_policies, maps.pilus_rules);
  const reconciler = stack.use(
    new Reconciler({
      name: "policies",
      desired: policies,
      target,
      matches: samePolicy,
      repairIntervalMs: config.repairInterval * 1000,
    }),
  );
  const installed = endpointMapTarget(maps.pilus_endpoints).read() ?? [];
  const installer = new PolicyInstaller({
    wanted: tables.wanted,
    policies,
    assignments,
    reconciler,
    before: {
      policies: target.read() ?? [],
      assignments: [...installed].map(({ value: { id, policy, revision } }) => ({
        endpoint: id,
        policy,
        revision,
      })),
    },
    onError: (endpoint, error) =>
      log.error("policy not installed", { endpoint, error: error.message }),
  });
  stack.defer(() => installer.stop());

  const labelTexts = new WeakMap<object, string[]>();
  const labels = (id: number) => {
    const row = tables.identities.get(String(id));
    if (!row) return undefined;
    let texts = labelTexts.get(row);
    if (!texts) labelTexts.set(row, texts = formatLabels(row.labels));
    return texts;
  };
  const reference = (cookie: number) => cookies.get(cookie);
  const rule = (cookie: number) => reference(cookie)?.text;

  const identityViews = (): IdentityView[] => {
    const counts = new Map<number, number>();
    for (const { identity } of identified.rows()) {
      counts.set(identity, (counts.get(identity) ?? 0) + 1);
    }
    return tables.identities.rows().map(({ id }) => ({
      id,
      labels: labels(id)!,
      endpoints: counts.get(id) ?? 0,
    })).sort((a, b) => a.id - b.id);
  };

  /** As the kernel has it. */
  const policyView = (reference: string): PolicyView => {
    const endpoint = findEndpoint(endpoints, reference);
    const { id } = endpoint;
    const wanted = tables.wanted.get(String(id))?.policy;
    const { policy = 0, revision = 0 } = assignments.get(String(id)) ?? {};
    const rules: RuleView[] = [];
    for (const [key, value] of maps.pilus_rules.entries()) {
      if (key.policy !== policy) continue;
      rules.push({
        direction: key.direction === 0 ? "ingress" : "egress",
        verdict: value.verdict === RuleVerdict.ALLOW ? "allow" : "deny",
        identity: key.identity,
        labels: key.identity === 0 ? ["any"] : labels(key.identity) ?? [],
        protocol: key.protocol === 0 ? "any" : protocolName(key.protocol),
        port: portText(key),
        precedence: value.precedence,
        cookie: value.cookie,
        rule: rule(value.cookie) ?? "",
      });
    }
    rules.sort((a, b) =>
      a.direction.localeCompare(b.direction) || b.precedence - a.precedence ||
      a.identity - b.identity || a.port.localeCompare(b.port)
    );
    return {
      endpoint: id,
      pod: endpointName(endpoint),
      policy,
      revision,
      ingress: { enforced: wanted?.ingress.enforced ?? false },
      egress: { enforced: wanted?.egress.enforced ?? false },
      rules,
    };
  };

  return {
    name: "policy",
    tables,
    apiServers,
    assignments,
    installer,
    rule,
    reference,
    labels,
    reconcilers: [reconciler],
    problems: [tables.problems, problems],
    start: () => installer.start(),
    routes: {
      "GET /v1/identities": identityViews,
      "GET /v1/endpoints/{id}/policy": ({ params }) => policyView(params.id!),
    },
    metrics: () => [
      gauge("identity", "Identities known", tables.identities.size),
      gauge("policy", "Policies in force", tables.compiled.size),
    ],
    status: () => ({ policies: tables.compiled.size }),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function portText({ port, prefixLength, protocol }: RuleKey): string {
  if (protocol === 0 || prefixLength === 0) return "any";
  const span = 1 << (16 - prefixLength);
  return span === 1 ? String(port) : `${port}-${port + span - 1}`;
}
