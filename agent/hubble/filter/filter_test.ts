import { assertEquals } from "@std/assert";
import type { FlowFilterMessage, FlowMessage } from "../flow_message.ts";
import { filterOf } from "./filter.ts";

const end = (namespace: string, pod_name: string, identity: number, ...labels: string[]) => ({
  ...{ namespace, pod_name, identity, cluster_name: "default" },
  labels: labels.map((label) => `k8s:${label}`),
  workloads: [{ kind: "Deployment", name: pod_name.split("-")[0]! }],
});

const CART = end("shop", "cart-1", 1001, "app=cart", "tier=front");
const DB = end("shop", "db-1", 1002, "app=db");
const CLIENT = end("default", "client", 1003, "app=client");
const WORLD = { identity: 2, labels: ["reserved:world"] };

/** By name; filters are said to pass some of them. */
const FLOWS = {
  query: {
    verdict: 1,
    uuid: "one",
    IP: { source: "10.0.0.1", destination: "10.0.0.2", ipVersion: 1 },
    l4: { TCP: { source_port: 40_000, destination_port: 5432, flags: { SYN: true, ACK: true } } },
    source: CART,
    destination: DB,
    node_name: "default/node-a",
    event_type: { type: 4, sub_type: 5 },
    traffic_direction: 2,
    is_reply: { value: false },
    interface: { index: 3, name: "lxc3" },
    destination_service: { name: "db", namespace: "shop" },
  },
  answer: {
    verdict: 1,
    IP: { source: "10.0.0.2", destination: "10.0.0.1", ipVersion: 1 },
    l4: { TCP: { source_port: 5432, destination_port: 40_000, flags: { ACK: true } } },
    source: DB,
    destination: CART,
    node_name: "default/node-b",
    event_type: { type: 4 },
    traffic_direction: 1,
    is_reply: { value: true },
    interface: { index: 4, name: "lxc4" },
  },
  denied: {
    verdict: 2,
    drop_reason_desc: 133,
    IP: { source: "fd00::1", destination: "2001:db8::8", ipVersion: 2 },
    l4: { UDP: { source_port: 40_001, destination_port: 53 } },
    source: CLIENT,
    destination: WORLD,
    destination_names: ["www.example.com"],
    node_name: "default/node-a",
    event_type: { type: 1, sub_type: 133 },
  },
  ping: {
    verdict: 1,
    IP: { source: "10.0.0.1", destination: "10.0.1.1", ipVersion: 1 },
    l4: { ICMPv4: { type: 8 } },
    source: CART,
    destination: CLIENT,
    node_name: "east/node-c",
    event_type: { type: 5 },
    is_reply: { value: false },
  },
  http: {
    verdict: 1,
    l4: { TCP: { source_port: 40_002, destination_port: 80 } },
    l7: {
      http: {
        code: 404,
        method: "GET",
        url: "http://cart/items/7?x=1",
        headers: [{ key: "a", value: "b" }],
      },
    },
    event_type: { type: 129 },
    trace_context: { parent: { trace_id: "t1" } },
  },
  lookup: { verdict: 1, l7: { dns: { query: "www.example.com." } }, event_type: { type: 129 } },
} satisfies Record<string, FlowMessage>;

type Name = keyof typeof FLOWS;
const ALL = Object.keys(FLOWS) as Name[];

const CASES: readonly [FlowFilterMessage, readonly Name[]][] = [
  [{}, ALL],
  [{ verdict: [2] }, ["denied"]],
  [{ verdict: [1, 2], ip_version: [2] }, ["denied"]],
  [{ source_ip: ["10.0.0.1"] }, ["query", "ping"]],
  [{ source_ip: ["10.0.0.0/31", "fd00::/8"] }, ["query", "denied", "ping"]],
  [{ source_ip: ["FD00:0::1"] }, ["denied"]],
  [{ source_ip: ["::/0"] }, ["denied"]],
  [{ source_ip: ["0.0.0.0/0"] }, ["query", "answer", "ping"]],
  [{ destination_ip: ["10.0.0.1"] }, ["answer"]],
  [{ source_ip_xlated: ["10.0.0.1"] }, []],
  [{ source_pod: ["shop/"] }, ["query", "answer", "ping"]],
  [{ source_pod: ["shop/cart"] }, ["query", "ping"]],
  [{ source_pod: ["cart"] }, []],
  [{ source_pod: ["cli"] }, ["denied"]],
  [{ source_pod: ["/d"] }, ["answer"]],
  [{ destination_pod: ["default/client"] }, ["ping"]],
  [{ destination_service: ["shop/d"] }, ["query"]],
  [{ source_label: ["app=cart"] }, ["query", "ping"]],
  [{ source_label: ["k8s:app=cart,tier=front"] }, ["query", "ping"]],
  [{ source_label: ["app=cart, tier=back"] }, []],
  [{ source_label: ["app in (db, client)"] }, ["answer", "denied"]],
  [{ source_label: ["app,app notin (db,cart)"] }, ["denied"]],
  [{ source_label: ["!tier,app"] }, ["answer", "denied"]],
  [{ source_label: ["app!=cart,app"] }, ["answer", "denied"]],
  [{ source_label: ["container:app=cart"] }, []],
  [{ destination_label: ["reserved:world"] }, ["denied"]],
  [{ destination_fqdn: ["*.example.com"] }, ["denied"]],
  [{ destination_fqdn: ["EXAMPLE.com"] }, []],
  [{ destination_fqdn: ["www.example.com."] }, ["denied"]],
  [{ source_workload: [{ kind: "Deployment", name: "cart" }] }, ["query", "ping"]],
  [{ destination_workload: [{ name: "db" }, { kind: "Job" }] }, ["query"]],
  [{ source_cluster_name: ["default"] }, ["query", "answer", "denied", "ping"]],
  [{ source_identity: [1002] }, ["answer"]],
  [{ destination_identity: [2, 1003] }, ["denied", "ping"]],
  [{ source_port: ["5432", "40001"] }, ["answer", "denied"]],
  [{ destination_port: ["0"] }, []],
  [{ protocol: ["icmp"] }, ["ping"]],
  [{ protocol: ["ICMPv6"] }, []],
  [{ protocol: ["TCP", "dns"] }, ["query", "answer", "http", "lookup"]],
  [{ tcp_flags: [{ SYN: true }] }, ["query"]],
  [{ tcp_flags: [{ ACK: true, SYN: false }] }, ["query", "answer"]],
  [{ tcp_flags: [{ RST: true }, { SYN: true, ACK: true }] }, ["query"]],
  [{ event_type: [{ type: 4 }] }, ["query", "answer"]],
  [{ event_type: [{ type: 4, match_sub_type: true }] }, ["answer"]],
  [{ event_type: [{ type: 4, match_sub_type: true, sub_type: 5 }, { type: 1 }] }, [
    "query",
    "denied",
  ]],
  [{ reply: [true] }, ["answer"]],
  [{ reply: [false] }, ["query", "denied", "ping"]],
  [{ traffic_direction: [2] }, ["query"]],
  [{ drop_reason_desc: [133] }, ["denied"]],
  [{ interface: [{ name: "lxc3" }] }, ["query"]],
  [{ interface: [{ index: 4 }, { index: 3, name: "lxc4" }] }, ["answer"]],
  [{ uuid: ["one"] }, ["query"]],
  [{ node_name: ["node-a"] }, ["query", "denied"]],
  [{ node_name: ["default/"] }, ["query", "answer", "denied"]],
  [{ node_name: ["*/node-*"] }, ["query", "answer", "denied", "ping"]],
  [{ node_labels: ["zone=a"] }, []],
  [{ trace_id: ["t1"] }, ["http"]],
  [{ http_status_code: ["40+"] }, ["http"]],
  [{ http_status_code: ["405", "5+"] }, []],
  [{ http_method: ["get"] }, ["http"]],
  [{ http_path: ["^/items/\\d+$"] }, ["http"]],
  [{ http_url: ["cart/.*x=1"] }, ["http"]],
  [{ http_header: [{ key: "a", value: "b" }] }, ["http"]],
  [{ dns_query: ["example\\.com"] }, ["lookup"]],
];

for (const [filter, wanted] of CASES) {
  Deno.test(`filterOf() with ${JSON.stringify(filter)} passes ${wanted.join(", ") || "none"}`, () => {
    const passed = (passes: (flow: FlowMessage) => boolean) =>
      ALL.filter((name) => passes(FLOWS[name]));
    assertEquals(passed(filterOf([filter])), [...wanted]);
    assertEquals(passed(filterOf([], [filter])), ALL.filter((name) => !wanted.includes(name)));
  });
}

Deno.test("filterOf() passes what one filter of the whitelist passes and none of the blacklist", () => {
  const passes = filterOf(
    [{ source_pod: ["shop/cart"] }, { verdict: [2] }],
    [{ protocol: ["icmp"] }, { uuid: ["two"] }],
  );
  assertEquals(ALL.filter((name) => passes(FLOWS[name])), ["query", "denied"]);
});
