/** Peers of policies that are nobody, or not all that their writer may think, as the cluster is. */

import { type Cidr, cidrContainsCidr, formatCidr, isIpv4Cidr } from "../../../datapath/net/ip.ts";
import type { ClusterNode } from "../../cluster/rows.ts";
import { deriveGroups, type GroupInput, groupInput } from "../../core/derive_groups.ts";
import { formatObject, type Problem, problemTable } from "../../core/problem.ts";
import type { Change, Table } from "../../core/table.ts";
import type { ApiServer } from "./api_servers.ts";
import type { CompiledPolicy, Peer, PolicyRule } from "./policy_rule.ts";
import { PrefixIndex } from "./prefix_index.ts";

type CidrPeer = Extract<Peer, { kind: "cidr" }>;

/** Addresses of the cluster. */
interface Known {
  cidr: Cidr;
  /** In words. */
  whose: string;
}

function* knownOf(node: ClusterNode): Generator<Known> {
  for (const cidr of [node.podCidrIpv4, node.podCidrIpv6]) {
    if (cidr) yield { cidr, whose: `pods of node ${node.name}` };
  }
  for (const address of node.addresses) {
    yield { cidr: { address, prefixLength: 128 }, whose: `node ${node.name}` };
  }
}

const contains = (outer: Cidr, inner: Cidr) =>
  isIpv4Cidr(outer) === isIpv4Cidr(inner) && cidrContainsCidr(outer, inner);

/** The cluster's addresses, to be found by the prefixes that hold some. */
class ClusterAddresses {
  readonly #index = new PrefixIndex<Known>();
  readonly #ofNode = new Map<string, Known[]>();

  apply(change: Change<ClusterNode>): void {
    for (const known of this.#ofNode.get(change.key) ?? []) this.#index.delete(known.cidr, known);
    this.#ofNode.delete(change.key);
    if (change.kind === "deleted") return;
    const all = [...knownOf(change.row)];
    this.#ofNode.set(change.key, all);
    for (const known of all) this.#index.add(known.cidr, known);
  }

  /** Some that the peer's prefix holds and does not except. */
  heldBy({ cidr, except }: CidrPeer): Known | undefined {
    const isHeld = (known: Known) =>
      contains(cidr, known.cidr) && !except.some((each) => contains(each, known.cidr));
    for (const known of this.#index.within(cidr)) if (isHeld(known)) return known;
    for (const known of this.#index.around(cidr)) if (contains(known.cidr, cidr)) return known;
    return undefined;
  }
}

const cidrsOf = ({ peers }: PolicyRule): CidrPeer[] =>
  peers === "any" ? [] : peers.filter((peer) => peer.kind === "cidr");

const namesApiServer = ({ peers }: PolicyRule): boolean =>
  peers !== "any" &&
  peers.some((peer) => peer.kind === "entity" && peer.entity === "kube-apiserver");

function nameOf({ kind }: CompiledPolicy): string {
  return kind === "NetworkPolicy" ? "ipBlock" : "prefix";
}

/** What {@linkcode derivePeerProblems} reads. */
export interface PeerProblemInputs {
  compiled: Table<CompiledPolicy>;
  apiServers: Table<ApiServer>;
  nodes: Table<ClusterNode>;
}

/** Keeps a table of them: at most one of each kind for a policy. */
export function derivePeerProblems(
  { compiled, apiServers, nodes }: PeerProblemInputs,
): { problems: Table<Problem> } & Disposable {
  const problems = problemTable("peer-problems");
  const addresses = new ClusterAddresses();
  const withCidrs = new Set<string>(), withApiServer = new Set<string>();
  const follow = (keys: Set<string>, change: Change<CompiledPolicy>, is: boolean) => {
    if (is) keys.add(change.key);
    else keys.delete(change.key);
  };
  const rulesOf = (change: Change<CompiledPolicy>) =>
    change.kind === "deleted" ? [] : change.row.rules;
  const inputs: GroupInput[] = [
    groupInput(compiled, (change) => {
      const rules = rulesOf(change);
      follow(withCidrs, change, rules.some((rule) => cidrsOf(rule).length > 0));
      follow(withApiServer, change, rules.some(namesApiServer));
      return [change.key];
    }),
    groupInput(nodes, (change) => {
      addresses.apply(change);
      return withCidrs;
    }),
    groupInput(apiServers, () => withApiServer),
  ];
  const derivation = deriveGroups<Problem>({
    inputs,
    output: problems,
    compute(key) {
      const policy = compiled.get(key);
      if (!policy) return { rows: [] };
      const { kind, namespace, name, rules } = policy;
      const object = { kind, namespace, name };
      const problem = (field: string, reason: string, message: string): Problem => ({
        source: formatObject(object),
        object,
        field,
        reason,
        message: `${field}: ${message}`,
      });
      const rows: Problem[] = [];
      if (withCidrs.has(key)) {
        const held = findHeld(rules, addresses);
        if (held) {
          const { path, cidr, whose } = held;
          rows.push(problem(
            path,
            "ClusterAddresses",
            `${nameOf(policy)} ${
              formatCidr(cidr)
            } holds addresses of the cluster (${whose}), and ` +
              "is about others alone: pods are named by their labels, nodes by the entities host " +
              "and remote-node; `except` those addresses when that is meant",
          ));
        }
      }
      const asking = apiServers.size === 0 ? rules.find(namesApiServer) : undefined;
      if (asking) {
        rows.push(problem(
          asking.path,
          "NoApiServer",
          "names the entity kube-apiserver, and no address of it is known: give " +
            "--kube-apiserver, or the EndpointSlice of the service default/kubernetes",
        ));
      }
      return { rows };
    },
  });
  return { problems, [Symbol.dispose]: () => derivation[Symbol.dispose]() };
}

/** The first prefix of the rules that holds some of the cluster's addresses. */
function findHeld(rules: readonly PolicyRule[], addresses: ClusterAddresses) {
  for (const rule of rules) {
    for (const peer of cidrsOf(rule)) {
      const known = addresses.heldBy(peer);
      if (known) return { path: rule.path, cidr: peer.cidr, whose: known.whose };
    }
  }
  return undefined;
}
