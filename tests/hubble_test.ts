// The hubble CLI of Cilium reads a node's flows: what its filters pass is what they should.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { assertTcp, ping, settle, tcp, udp } from "./lab/clients.ts";
import { withLab } from "./lab/test_lab.ts";
import { finish } from "../cli/lab/host.ts";

const CACHE = Deno.env.get("BUILD_CACHE") ?? `${Deno.env.get("HOME")}/.cache/pilus`;
const HUBBLE = `${CACHE}/hubble/hubble`;

const missing = (() => {
  try {
    Deno.statSync(HUBBLE);
    return undefined;
  } catch {
    return "hubble is not built: scripts/hubble/build.sh makes it";
  }
})();

/** As much of a flow's JSON as filters look at. */
interface Flow {
  uuid: string;
  time: string;
  verdict: string;
  IP?: { source: string; destination: string; ipVersion: string };
  l4?: Record<
    string,
    { source_port?: number; destination_port?: number; flags?: { SYN?: boolean } }
  >;
  source: End;
  destination: End;
  node_name: string;
  event_type: { type: number; sub_type?: number };
  trace_observation_point?: string;
  traffic_direction?: string;
  is_reply?: boolean;
  drop_reason_desc?: string;
  ingress_denied_by?: { name: string; namespace: string; kind: string }[];
}

interface End {
  identity?: number;
  namespace?: string;
  pod_name?: string;
  labels?: string[];
}

const port = ({ l4 }: Flow, end: "source_port" | "destination_port") => (l4?.TCP ?? l4?.UDP)?.[end];
const isPod = ({ namespace, pod_name }: End, name: string) =>
  namespace === "demo" && pod_name === name;
const has = ({ labels }: End, label: string) => labels?.includes(`k8s:${label}`) ?? false;

/** Options of the CLI, and the flows that they must pass. `IP`, `IDENTITY`: of pod near. */
const FILTERS: readonly [
  string,
  (flow: Flow, near: { ip: string; identity: number }) => boolean,
][] = [
  ["", () => true],
  ["--verdict FORWARDED", ({ verdict }) => verdict === "FORWARDED"],
  ["--verdict DROPPED", ({ verdict }) => verdict === "DROPPED"],
  ["--type drop", ({ event_type }) => event_type.type === 1],
  ["--type trace", ({ event_type }) => event_type.type === 4],
  ["--type trace:from-endpoint", (flow) => flow.trace_observation_point === "FROM_ENDPOINT"],
  ["--type trace:from-overlay", (flow) => flow.trace_observation_point === "FROM_OVERLAY"],
  ["--type policy-verdict --type drop", ({ event_type }) => [1, 5].includes(event_type.type)],
  ["--drop-reason-desc POLICY_DENIED", (flow) => flow.drop_reason_desc === "POLICY_DENIED"],
  ["--from-pod demo/near", ({ source }) => isPod(source, "near")],
  ["--to-pod demo/web", ({ destination }) => isPod(destination, "web")],
  ["--pod demo/far", (f) => isPod(f.source, "far") || isPod(f.destination, "far")],
  [
    "--from-pod demo/near --to-pod demo/web --protocol tcp",
    (f) => isPod(f.source, "near") && isPod(f.destination, "web") && f.l4?.TCP !== undefined,
  ],
  ["--namespace demo", (f) => f.source.namespace === "demo" || f.destination.namespace === "demo"],
  ["--from-ip IP", ({ IP }, { ip }) => IP?.source === ip],
  ["--to-ip IP/31", ({ IP }, { ip }) => IP !== undefined && within31(IP.destination, ip)],
  ["-6", ({ IP }) => IP?.ipVersion === "IPv6"],
  ["-4 --protocol udp", ({ IP, l4 }) => IP?.ipVersion === "IPv4" && l4?.UDP !== undefined],
  ["--protocol icmp", ({ l4 }) => (l4?.ICMPv4 ?? l4?.ICMPv6) !== undefined],
  ["--to-port 7000", (flow) => port(flow, "destination_port") === 7000],
  ["--port 7000", (f) => port(f, "source_port") === 7000 || port(f, "destination_port") === 7000],
  [
    "--not --port 7000",
    (f) => port(f, "source_port") !== 7000 && port(f, "destination_port") !== 7000,
  ],
  ["--from-identity IDENTITY", ({ source }, { identity }) => source.identity === identity],
  ["--from-label app=client", ({ source }) => has(source, "app=client")],
  ["--to-label k8s:app=web", ({ destination }) => has(destination, "app=web")],
  ["--tcp-flags SYN", ({ l4 }) => l4?.TCP?.flags?.SYN === true],
  ["--traffic-direction ingress", (flow) => flow.traffic_direction === "INGRESS"],
  ["--node-name default/node-a", ({ node_name }) => node_name === "default/node-a"],
  ["--node-name node-b", () => false],
];

function within31(a: string, b: string): boolean {
  const [head, last] = [b.slice(0, b.lastIndexOf(".")), Number(b.split(".")[3])];
  return a === `${head}.${last & ~1}` || a === `${head}.${last | 1}`;
}

Deno.test({
  name: `the hubble CLI reads a node's flows${missing ? ` (skipped: ${missing})` : ""}`,
  ignore: missing !== undefined,
  fn: async (t) => {
    await withLab({}, async ({ lab, a, b, pod, expectDrops }) => {
      expectDrops("Policy denied");
      const web = await pod(a, "web");
      const near = await pod(a, "near", { labels: { app: "client" } });
      const far = await pod(b, "far", { labels: { app: "client" } });
      const guest = await pod(b, "guest");
      lab.apply("policy", POLICY);
      const server = `unix://${a.directory}/run/hubble.sock`;
      const hubble = async (...args: string[]) => {
        const command = new Deno.Command(HUBBLE, {
          args: [...args, "--server", server],
          env: { NO_COLOR: "1", HOME: lab.directory },
          stdin: "null",
          stdout: "piped",
          stderr: "piped",
        });
        const { code, stdout, stderr } = await finish(command.spawn());
        assertEquals([code, stderr], [0, ""], `hubble ${args.join(" ")}`);
        return stdout;
      };
      const observe = async (...args: string[]): Promise<Flow[]> =>
        (await hubble("observe", ...args, "-o", "jsonpb")).split("\n").filter((line) => line !== "")
          .map((line) => JSON.parse(line).flow as Flow);

      for (const family of ["ipv4", "ipv6"] as const) {
        for (const from of [near, far]) await assertTcp(from, web[family], true);
        await settle(() => tcp(guest, web[family]), ({ ok }) => !ok);
        await udp(near, web[family]);
        await ping(near, far[family]);
      }
      const end = new Date().toISOString();
      const all = await observe("--all", "--until", end);
      const { identity } = all.find(({ source }) => isPod(source, "near"))!.source;
      const about = { ip: near.ipv4, identity: identity! };

      await t.step("a denied flow has its reason and the policy that decided", () => {
        const denied = all.find(({ source, verdict }) =>
          verdict === "DROPPED" && isPod(source, "guest")
        )!;
        assertEquals(
          [denied.drop_reason_desc, denied.traffic_direction, denied.node_name],
          ["POLICY_DENIED", "INGRESS", "default/node-a"],
        );
      });

      for (const [options, passes] of FILTERS) {
        await t.step(`observe ${options}`, async () => {
          const words = options.replaceAll("IP", about.ip).replaceAll("IDENTITY", String(identity))
            .split(" ").filter((word) => word !== "");
          const flows = await observe("--all", "--until", end, ...words);
          const wanted = all.filter((flow) => passes(flow, about));
          assertEquals(flows.map(({ uuid }) => uuid), wanted.map(({ uuid }) => uuid));
          if (!options.includes("node-b")) assert(wanted.length > 0, "some flow passes");
        });
      }

      await t.step("the first, the last, and those since a time", async () => {
        const uuids = (flows: Flow[]) => flows.map(({ uuid }) => uuid);
        assertEquals(uuids(await observe("--first", "5")), uuids(all.slice(0, 5)));
        assertEquals(uuids(await observe("--last", "5", "--until", end)), uuids(all.slice(-5)));
        const { time } = all.at(-7)!;
        assertEquals(
          uuids(await observe("--since", time, "--until", end)),
          uuids(all.filter((flow) => flow.time >= time)),
        );
      });

      await t.step("compact, dict and table", async () => {
        const filter = ["--all", "--until", end, "--from-pod", "demo/near", "--to-pod", "demo/web"];
        assertMatch(
          await hubble("observe", ...filter, "-o", "compact"),
          /demo\/near:\d+ \(ID:\d+\) -> demo\/web:7000 \(ID:\d+\) \S+ FORWARDED \(TCP Flags: SYN\)/,
        );
        const dict = await hubble("observe", ...filter, "-o", "dict");
        assertMatch(dict, / {5}SOURCE: demo\/near:\d+\nDESTINATION: demo\/web:7000\n/);
        assertMatch(await hubble("observe", ...filter, "-o", "table"), /^TIMESTAMP +SOURCE +DEST/);
        assertStringIncludes(
          await hubble("observe", "--all", "--until", end, "--verdict", "DROPPED"),
          "Policy denied DROPPED",
        );
      });

      await t.step("status, nodes, namespaces and events of the agent", async () => {
        assertMatch(await hubble("status"), /Healthcheck .*: Ok\nCurrent\/Max Flows: /);
        assertMatch(await hubble("list", "nodes"), /default\/node-a +Connected/);
        assertMatch(await hubble("list", "namespaces"), /demo/);
        const events = await hubble("observe", "agent-events", "--all", "-o", "jsonpb");
        assertStringIncludes(events, '"type":"ENDPOINT_CREATED"');
        assertStringIncludes(events, '"pod_name":"near"');
      });

      await t.step("peers", async () => {
        const child = new Deno.Command(HUBBLE, {
          args: ["watch", "peers", "--server", server],
          stdout: "piped",
          stderr: "null",
        }).spawn();
        const names = await read(child, (text) => text.includes("node-b"));
        assertMatch(names, /PEER_ADDED.*default\/node-a/);
      });

      await t.step("follow", async () => {
        const child = new Deno.Command(HUBBLE, {
          args: [
            ...["observe", "--follow", "--to-pod", "demo/web", "--to-port", "7000"],
            ...["-o", "jsonpb", "--server", server],
          ],
          stdout: "piped",
          stderr: "null",
        }).spawn();
        let flowing = true;
        const traffic = (async () => {
          while (flowing) await tcp(near, web.ipv4);
        })();
        const lines = await read(child, (text) => text.split("\n").length > 5);
        flowing = false;
        await traffic;
        assert(lines.split("\n").slice(0, 5).every((line) => JSON.parse(line).flow.time > end));
      });
    });
  },
});

/** Of what a child prints, up to where `enough` says so; then the child is ended. */
async function read(child: Deno.ChildProcess, enough: (text: string) => boolean): Promise<string> {
  let text = "";
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  while (!enough(text)) {
    const { value, done } = await reader.read();
    if (done) break;
    text += value;
  }
  child.kill();
  await reader.cancel();
  await child.status;
  return text;
}

const POLICY = JSON.stringify({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name: "clients-alone", namespace: "demo" },
  spec: {
    podSelector: { matchLabels: { app: "web" } },
    ingress: [{ from: [{ podSelector: { matchLabels: { app: "client" } } }] }],
  },
});
