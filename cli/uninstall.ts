/** `pilus uninstall` */

import { AgentClient, AgentUnreachableError } from "../agent/api/client.ts";
import { type AgentConfig, OPTIONS } from "../agent/node/options.ts";
import { planUninstall, type Removal, removeAll } from "../agent/node/uninstall/uninstall.ts";
import { agentSettings } from "./agent_settings.ts";
import { EXIT, type Invocation, UsageError } from "./command.ts";
import { formatTable, print, printData, printError } from "./output.ts";

/** Milliseconds after which an agent that does not answer counts as one that runs. */
const AGENT_TIMEOUT_MS = 3000;

/** The exit code is 1 when an agent runs, when something could not be removed, or the answer is no. */
export async function uninstall(invocation: Invocation): Promise<number> {
  const { options } = invocation;
  const installation = await installationOf(invocation);
  using plan = planUninstall(installation);
  const { removals, left } = plan;
  if (options["dry-run"]) {
    const view = { remove: removals.map(({ kind, what }) => ({ kind, what })), left };
    await printData(options, view, () => planText(removals) + leftText(left));
    return EXIT.ok;
  }
  if (removals.length === 0) {
    await printData(options, { removed: [], failed: [], left }, () => planText(removals));
    return EXIT.ok;
  }
  await refuseBesideAgent(`${installation.runDir}/pilus.sock`);
  const chosen = options.yes ? removals : ask(removals);
  if (!chosen) {
    printError("Nothing was removed");
    return EXIT.failed;
  }
  const failed = removeAll(chosen);
  const kept = removals.filter((removal) => !chosen.includes(removal))
    .map(({ what }) => ({ what, why: "pods need it, and were to be kept" }));
  const removed = chosen.filter((one) => !failed.some(({ removal }) => removal === one));
  const view = {
    removed: removed.map(({ kind, what }) => ({ kind, what })),
    failed: failed.map(({ removal: { kind, what }, error }) => ({
      kind,
      what,
      why: error.message,
    })),
    left: [...left, ...kept],
  };
  await printData(
    options,
    view,
    () => `${removed.length} of ${chosen.length} removed\n${leftText(view.left)}`,
  );
  if (failed.length === 0) return EXIT.ok;
  printError(formatTable([
    { title: "NOT REMOVED", value: ({ removal }) => removal.what },
    { title: "WHY", value: ({ error }) => error.message },
  ], failed));
  return EXIT.failed;
}

async function installationOf(
  invocation: Invocation,
): Promise<Parameters<typeof planUninstall>[0]> {
  const settings = await agentSettings(invocation);
  const value = <Key extends keyof AgentConfig>(key: Key) => {
    const { name, read } = OPTIONS[key];
    const found = settings.find(({ option }) => option === name)?.value;
    return found === undefined ? "" : String(read(found as never));
  };
  return {
    bpffs: value("bpffs"),
    stateDir: value("stateDir"),
    runDir: value("runDir"),
    cniConfDir: value("cniConfDir"),
    cniBinDir: value("cniBinDir"),
    manifests: value("manifests"),
    nodeName: value("nodeName"),
  };
}

async function refuseBesideAgent(socket: string): Promise<void> {
  try {
    await new AgentClient(socket).call("/v1/health", {
      signal: AbortSignal.timeout(AGENT_TIMEOUT_MS),
    });
  } catch (error) {
    if (error instanceof AgentUnreachableError) return;
  }
  throw new Error(
    `An agent runs on this node and answers at ${socket}: end it first (SIGTERM, or the service ` +
      "that starts it), then uninstall",
  );
}

/** What is to be removed; undefined: nothing. Pods' devices, and what they need, by an answer of their own. */
function ask(removals: readonly Removal[]): readonly Removal[] | undefined {
  if (!Deno.stdin.isTerminal()) {
    throw new UsageError(
      "`uninstall` asks before it removes; say --yes where there is no terminal",
    );
  }
  print(planText(removals));
  if (!confirm("Remove all of this?")) return undefined;
  const pods = removals.filter(({ kind }) => kind === "pod").length;
  const whose = pods === 1 ? "A pod loses its" : `${pods} pods lose their`;
  if (pods === 0 || confirm(`${whose} network. Remove the devices too?`)) {
    return removals;
  }
  return removals.filter(({ kind }) => kind !== "pod" && kind !== "address");
}

function planText(removals: readonly Removal[]): string {
  if (removals.length === 0) return "There is nothing of pilus on this node.\n";
  return formatTable([
    { title: "REMOVE", value: ({ kind }) => kind },
    { title: "WHAT", value: ({ what }) => what },
  ], removals);
}

function leftText(left: readonly { what: string; why: string }[]): string {
  if (left.length === 0) return "";
  return "\n" + formatTable([
    { title: "LEFT", value: ({ what }) => what },
    { title: "WHY", value: ({ why }) => why },
  ], left);
}
