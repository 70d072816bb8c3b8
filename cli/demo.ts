/** `pilus demo`: two nodes, pods, a service and a policy on this machine, and what reaches what. */

import { bold, cyan, dim, green, red, setColorEnabled } from "@std/fmt/colors";
import type { FlowView } from "../agent/api/views.ts";
import { EXIT, type Invocation } from "./command.ts";
import { checkRequirements, Lab, type LabPod, tearDownLab } from "./lab/lab.ts";
import { formatFlow } from "./monitor.ts";
import { formatTable, print } from "./output.ts";

/** Where the demo lives, so that `--end` finds it. */
const DIRECTORY = "/run/pilus-demo";

/** The manifests; in the compiled program they lie beside the bundle. */
const EXAMPLES = new URL(Deno.build.standalone ? "./examples/" : "../examples/", import.meta.url);

/** The services' addresses in examples/service.yaml. */
const SERVICE = { ipv4: "10.96.0.80", ipv6: "fd60:96::80" };
const WEB_PORT = 8080;

/** A try may be lost to a policy that is just being installed; this long it is made again. */
const SETTLE_MS = 3000;

/** A server that does not listen after so long will not. */
const SERVER_START_MS = 15_000;

interface Trial {
  from: LabPod;
  what: string;
  url: string;
  /** Names of the servers that may answer; none: no server may. */
  expected: readonly string[];
}

export async function runDemo({ options }: Invocation): Promise<number> {
  setColorEnabled(Deno.stdout.isTerminal() && !Deno.env.has("NO_COLOR") && options.color !== false);
  checkRequirements();
  if (options.end) {
    await tearDownLab(DIRECTORY);
    print("The demo is gone.\n");
    return EXIT.ok;
  }
  await tearDownLab(DIRECTORY); // what a demo that was killed has left
  const lab = await Lab.create({
    directory: DIRECTORY,
    nodes: ["node-a", "node-b"],
    program: ownProgram(),
    routing: options.routing === "native" ? "native" : "vxlan",
  });
  let keep = false;
  const interrupted = async () => {
    await lab[Symbol.asyncDispose]();
    Deno.exit(130);
  };
  Deno.addSignalListener("SIGINT", interrupted);
  try {
    const failures = await play(lab);
    keep = options.keep === true;
    const code = failures === 0 ? EXIT.ok : EXIT.failed;
    if (keep) {
      tellHowToPlay(lab);
      Deno.exit(code); // at an ordinary end Deno kills its children
    }
    return code;
  } finally {
    Deno.removeSignalListener("SIGINT", interrupted);
    if (!keep) await lab[Symbol.asyncDispose]();
  }
}

/** Itself: the compiled program, or Deno with the main module. */
function ownProgram(): string[] {
  if (Deno.build.standalone) return [Deno.execPath()];
  return [
    Deno.execPath(),
    "run",
    "-A",
    "--no-check",
    new URL("../main.ts", import.meta.url).pathname,
  ];
}

function step(text: string): void {
  print(`${bold(cyan("==>"))} ${text}\n`);
}

async function play(lab: Lab): Promise<number> {
  const started = Date.now();
  step("Two nodes, each a network namespace with a wire between them, and an agent in each");
  for (const name of ["pods", "service", "policy"]) {
    lab.apply(name, Deno.readTextFileSync(new URL(`${name}.yaml`, EXAMPLES)));
  }
  await lab.startAgents();
  for (const node of lab.nodes) {
    const status = await node.status();
    print(
      `    ${node.name}  ${node.ipv4}  pods in ${
        status.podCidrs.join(", ")
      }  routing ${status.routing}\n`,
    );
  }

  step("Four pods, put on the network by the CNI plugin as a container runtime would");
  const [a, b] = [lab.node("node-a"), lab.node("node-b")];
  const [webA, webB, client, guest] = await Promise.all([
    a.addPod("demo", "web-a"),
    b.addPod("demo", "web-b"),
    a.addPod("demo", "client"),
    b.addPod("demo", "guest"),
  ]);
  for (const pod of [webA, webB, client, guest]) {
    print(`    ${pod.name.padEnd(12)} on ${pod.node.name}  ${pod.ipv4}  ${pod.ipv6}\n`);
  }
  for (const pod of [webA, webB]) {
    pod.spawn([...lab.program, "demo-server", pod.podName, String(WEB_PORT)], {}, {
      stdout: "null",
      stderr: "null",
    }).unref();
  }
  for (const pod of [webA, webB]) await listening(lab, pod);

  step("A service in front of both web servers, and a policy: only the client may reach them");
  print(dim(indent(Deno.readTextFileSync(new URL("policy.yaml", EXAMPLES)))));

  const stop = new AbortController();
  const flows: FlowView[] = [];
  const watching = Promise.all(
    lab.nodes.map(async (node) => {
      const options = { signal: stop.signal };
      try {
        for await (
          const f of node.client.stream<FlowView>("/v1/monitor?type=drop,verdict", options)
        ) {
          flows.push(f);
        }
      } catch (error) {
        if (!stop.signal.aborted) throw error;
      }
    }),
  );

  step("Connectivity");
  const failures = await tryAll(trials({ webA, webB, client, guest }), lab.program);
  stop.abort();
  await watching;

  step(
    "Flows that were seen meanwhile (`pilus monitor`): one denied and one allowed, each with its rule",
  );
  for (const type of ["drop", "verdict"] as const) {
    const flow = flows.find((f) => f.type === type && f.rule);
    if (flow) print(indent(formatFlow(flow)));
  }
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  step(
    failures === 0
      ? green(`Everything as expected, in ${seconds} s`)
      : red(`${failures} not as expected, after ${seconds} s`),
  );
  return failures;
}

/** Resolves when the pod's server answers it itself: that asks no policy. */
async function listening(lab: Lab, pod: LabPod): Promise<void> {
  const deadline = Date.now() + SERVER_START_MS;
  const words = [...lab.program, "demo-fetch", `http://${pod.ipv4}:${WEB_PORT}/`];
  while ((await pod.exec(words)).code !== 0) {
    if (Date.now() > deadline) throw new Error(`The server of ${pod.name} does not answer`);
  }
}

function trials(
  { webA, webB, client, guest }: Record<"webA" | "webB" | "client" | "guest", LabPod>,
): Trial[] {
  const both = ["web-a", "web-b"];
  const targets = (pod: LabPod): [string, string, string[]][] => [
    [`web-a, ${where(pod, webA)}, IPv4`, `http://${webA.ipv4}:${WEB_PORT}/`, ["web-a"]],
    [`web-a, ${where(pod, webA)}, IPv6`, `http://[${webA.ipv6}]:${WEB_PORT}/`, ["web-a"]],
    [`web-b, ${where(pod, webB)}, IPv4`, `http://${webB.ipv4}:${WEB_PORT}/`, ["web-b"]],
    [`web-b, ${where(pod, webB)}, IPv6`, `http://[${webB.ipv6}]:${WEB_PORT}/`, ["web-b"]],
    ["service web, IPv4", `http://${SERVICE.ipv4}/`, both],
    ["service web, IPv6", `http://[${SERVICE.ipv6}]/`, both],
  ];
  return [client, guest].flatMap((from) =>
    targets(from).map(([what, url, names]) => ({
      from,
      what,
      url,
      expected: from === client ? names : [],
    }))
  );
}

function where(from: LabPod, to: LabPod): string {
  return from.node === to.node ? "same node" : "other node";
}

async function tryAll(list: readonly Trial[], program: readonly string[]): Promise<number> {
  const outcomes = await Promise.all(list.map(async (trial) => {
    const allowed = trial.expected.length > 0;
    const deadline = Date.now() + SETTLE_MS;
    while (true) {
      const { code, stdout } = await trial.from.exec([...program, "demo-fetch", trial.url]);
      const seen = code === 0 ? stdout.trim() : "";
      const ok = allowed ? trial.expected.includes(seen) : seen === "";
      if (ok || !allowed || Date.now() > deadline) return { ...trial, seen, ok };
    }
  }));
  print(indent(formatTable([
    { title: "FROM", value: (o) => `${o.from.podName} (${o.from.node.name})` },
    { title: "TO", value: (o) => o.what },
    { title: "EXPECTED", value: (o) => o.expected.join(" or ") || "no answer" },
    { title: "SEEN", value: (o) => o.seen || "no answer" },
    { title: "", value: (o) => o.ok ? "ok" : "WRONG" },
  ], outcomes)));
  return outcomes.filter(({ ok }) => !ok).length;
}

function indent(text: string): string {
  return text.trimEnd().split("\n").map((line) => `    ${line}`).join("\n") + "\n";
}

function tellHowToPlay(lab: Lab): void {
  const program = lab.program.join(" ");
  const node = lab.nodes[0]!;
  step("The demo stays up. Play with it:");
  print(indent([
    `export PILUS_SOCKET=${node.socket}`,
    `${program} status`,
    `${program} monitor --drops`,
    `${program} policy get demo/web-a`,
    `nsenter --net=${lab.directory}/pods/demo.client curl -s http://${SERVICE.ipv4}/`,
    `edit ${lab.manifests}/policy.yaml and see it take effect at once`,
    `${program} demo --end`,
  ].join("\n")));
}
