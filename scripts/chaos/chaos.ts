/** The run: lab, pods and policies; then faults until the time is over; then the verdict. */

import { Lab, type LabNode, type LabPod } from "../../cli/lab/lab.ts";
import { delay } from "../../cli/lab/host.ts";
import { generator } from "../../datapath/testdata/random.ts";
import { pilus, podManifest } from "../../tests/lab/test_lab.ts";
import { complaints, differences, inKernel } from "./desired.ts";
import { type FaultKind, FAULTS, METRICS_PORT, type Stage } from "./faults.ts";
import { clock, type Fault } from "./judge.ts";
import { Report } from "./report.ts";
import { supervise } from "./supervisor.ts";
import { Traffic } from "./traffic.ts";
import { Watcher } from "./watcher.ts";

const CONNECTIONS = 200;
/** All is as desired so long after the last fault, in milliseconds. */
const DESIRED_MS = 10_000;
/** A connection that waits for its echo for longer hangs, in seconds: TCP's own back-off is in it. */
const SILENT_S = 30;
/** Without a byte of a denied pod, in milliseconds. */
const QUIET_MS = 500;
/** Faults at once, at most. */
const AT_ONCE = 4;

export interface ChaosOptions {
  seed: number;
  minutes: number;
  /** Only kinds whose name has one of these texts in it. @default all */
  only?: readonly string[];
  /** Ends it early. */
  signal?: AbortSignal;
}

/** Runs it; resolves to whether nothing was wrong. */
export async function chaos(options: ChaosOptions): Promise<boolean> {
  const directory = Deno.makeTempDirSync({ dir: "/run", prefix: "pilus-chaos-" });
  Deno.removeSync(directory);
  const nodes = ["node-a", "node-b"];
  const agentArgs = ["--metrics", `0.0.0.0:${METRICS_PORT}`];
  await using lab = await Lab.create({ directory, nodes, program: pilus(), agentArgs });
  await lab.startAgents();
  using _supervisor = supervise(lab.nodes);
  const stage = await build(lab, generator(options.seed));
  await using traffic = await Traffic.start(stage.cast, CONNECTIONS);
  await using watcher = new Watcher(lab.nodes);
  return await new Run(stage, traffic, watcher, options).whole();
}

/** A policy for pods with that label. */
function policy(name: string, role: string, spec: Record<string, unknown>): string {
  return JSON.stringify({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name, namespace: "demo" },
    spec: { podSelector: { matchLabels: { role } }, ...spec },
  });
}

async function build(lab: Lab, random: (below: number) => number) {
  const pods = new Map<LabNode, LabPod[]>();
  const all: Record<string, LabPod[]> = {};
  // who is let in but may not go out, and who may go out but is not let in
  const roles = { web: "server", client: "client", guest: "guest", mute: "mute" };
  lab.apply(
    "servers",
    policy("servers", "server", {
      policyTypes: ["Ingress"],
      ingress: [{
        from: [{
          podSelector: {
            matchExpressions: [{ key: "role", operator: "In", values: ["client", "mute"] }],
          },
        }],
      }],
    }),
  );
  lab.apply("mutes", policy("mutes", "mute", { policyTypes: ["Egress"] }));
  for (const node of lab.nodes) {
    const own: LabPod[] = [];
    for (const [name, role] of Object.entries(roles)) {
      const full = `${name}-${node.name}`;
      lab.apply(`pod-${full}`, podManifest(node, "demo", full, { role }));
      const pod = await node.addPod("demo", full);
      own.push(pod);
      (all[role] ??= []).push(pod);
    }
    pods.set(node, own);
  }
  const cast = {
    servers: all.server!,
    clients: all.client!,
    denied: [...all.guest!, ...all.mute!],
  };
  return { lab, random, cast, podsOf: (node: LabNode) => pods.get(node)! };
}

class Run {
  readonly #stage: Stage;
  readonly #traffic: Traffic;
  readonly #watcher: Watcher;
  readonly #options: ChaosOptions;
  readonly #faults: Fault[] = [];
  readonly #report: Report;
  #broken = false;
  readonly #baseline = new Map<LabNode, string[]>();

  constructor(stage: Stage, traffic: Traffic, watcher: Watcher, options: ChaosOptions) {
    this.#stage = stage;
    this.#traffic = traffic;
    this.#watcher = watcher;
    this.#options = options;
    this.#report = new Report(this.#faults, traffic, watcher);
  }

  async whole(): Promise<boolean> {
    const { minutes, signal } = this.#options;
    const begin = Date.now();
    await this.#settle(begin, "the beginning");
    // policies that pods had before their manifests were read are deleted somewhat later
    await delay(5000);
    for (const node of this.#stage.lab.nodes) this.#baseline.set(node, await inKernel(node));
    let said = Date.now();
    const { only = [] } = this.#options;
    const wanted = FAULTS.filter(({ name }) =>
      only.length === 0 || only.some((text) => name.includes(text))
    );
    // each kind once, then at random
    const once = [...wanted];
    while (Date.now() - begin < minutes * 60_000 && !signal?.aborted && !this.#broken) {
      const { random } = this.#stage;
      const count = random(2) ? 1 : 2 + random(AT_ONCE - 1);
      const kinds = Array.from(
        { length: count },
        () =>
          once.length > 0
            ? once.splice(random(once.length), 1)[0]!
            : wanted[random(wanted.length)]!,
      );
      await this.#round(kinds);
      if (Date.now() - said >= 60_000) {
        said = Date.now();
        this.#report.progress(begin);
      }
      await delay(random(2000));
    }
    return this.#report.end(begin, this.#options.seed);
  }

  /** Makes faults, of different kinds on one node or several, and waits until all is as desired. */
  async #round(kinds: readonly FaultKind[]): Promise<void> {
    const { random, lab } = this.#stage;
    const chosen = new Map<string, { kind: FaultKind; node: LabNode }>();
    for (const kind of kinds) {
      const node = lab.nodes[random(lab.nodes.length)]!;
      // an agent ends once at a time, and a file has one name
      const what = kind.name.startsWith("agent") ? `agent of ${node.name}` : kind.name;
      chosen.set(what, { kind, node });
    }
    const made = [...chosen.values()].map(async ({ kind, node }) => {
      // numbers of its own: what comes next does not depend on who is first
      const own = generator(random(2 ** 31));
      await delay(own(500));
      await this.#make(kind, node, { ...this.#stage, random: own });
    });
    await Promise.all(made);
    const what = [...chosen.values()].map(({ kind, node }) => `${kind.name} on ${node.name}`);
    await this.#settle(Date.now(), what.join(", "));
  }

  async #make(kind: FaultKind, node: LabNode, stage: Stage): Promise<void> {
    const fault: Fault = {
      kind: kind.name,
      node: node.name,
      from: Date.now(),
      made: Infinity,
      opens: kind.opens ?? false,
      cuts: [],
    };
    this.#faults.push(fault);
    try {
      const cut = await kind.make(node, stage) ?? [];
      fault.cuts = cut.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6]);
    } catch (error) {
      // another fault may have taken what this one is about
      this.#report.notMade(kind.name, error);
    }
    fault.made = Date.now();
  }

  async #wrong(since: number): Promise<string[]> {
    const { lab } = this.#stage;
    const wrong = lab.nodes.flatMap((node) => complaints(node, this.#watcher.last(node)));
    wrong.push(...this.#traffic.lacks(since));
    if (wrong.length > 0) return wrong;
    for (const node of lab.nodes) {
      const wanted = this.#baseline.get(node);
      if (!wanted) continue;
      const found = await inKernel(node).catch((error) => [String(error)]);
      wrong.push(...differences(wanted, found).map((line) => `${node.name}: ${line}`));
    }
    const last = this.#traffic.passed.at(-1);
    if (last && last.at > Date.now() - QUIET_MS) wrong.push(`${last.from} reaches ${last.to}`);
    if (this.#traffic.silence > SILENT_S) {
      wrong.push(`a connection has had no echo for ${this.#traffic.silence} s`);
    }
    return wrong;
  }

  /** Waits until all is as desired; what is not in time is a violation, once. */
  async #settle(since: number, after: string): Promise<void> {
    const begin = Date.now();
    let late: string[] | undefined;
    while (!this.#options.signal?.aborted) {
      const wrong = await this.#wrong(since);
      const ms = Date.now() - begin;
      if (wrong.length === 0) return this.#report.settled(after, ms);
      if (ms > DESIRED_MS && !late) {
        late = wrong;
        this.#report.violation(
          `${clock(Date.now())} not as desired ${DESIRED_MS / 1000} s after ${after}:\n  ` +
            wrong.slice(0, 20).join("\n  "),
        );
      }
      if (ms > 6 * DESIRED_MS) {
        this.#broken = true;
        return this.#report.violation(`Nothing is put right any more after ${after}`);
      }
      await delay(200);
    }
  }
}
