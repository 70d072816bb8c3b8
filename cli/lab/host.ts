/** Network namespaces of a lab in which processes run. */

import { NetlinkSocket } from "../../datapath/net/netlink.ts";
import { inNamespace, openNamespace, writeSysctls } from "../../datapath/net/netns.ts";

/** How a process is run. */
export interface RunOptions {
  /** Given on stdin. */
  input?: string;
  env?: Record<string, string>;
  /** False: outside of the node's cgroup, where sockets are not translated. @default {true} */
  cgroup?: boolean;
  /** Ends the process. */
  signal?: AbortSignal;
}

/** What a process gave. */
export interface RunResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** A network namespace in which processes run. */
export class LabHost {
  readonly name: string;
  /** Path of the network namespace. */
  readonly netns: string;
  /** Directory of the cgroup that its processes are in. */
  readonly cgroup: string;

  constructor(name: string, netns: string, cgroup: string) {
    this.name = name;
    this.netns = netns;
    this.cgroup = cgroup;
  }

  /** A process in the namespace and the cgroup, not started yet. */
  command(
    words: readonly string[],
    { env = {}, cgroup = true }: RunOptions = {},
    pipes: Deno.CommandOptions = {},
  ): Deno.Command {
    // A shell can put itself into a cgroup before it becomes the program; 0 is "the one who writes".
    const join = 'echo 0 > "$0/cgroup.procs" && exec nsenter "$@"';
    return new Deno.Command("sh", {
      args: [
        "-c",
        join,
        cgroup ? this.cgroup : parentOf(this.cgroup),
        `--net=${this.netns}`,
        ...words,
      ],
      env: { NO_COLOR: "1", ...env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      ...pipes,
    });
  }

  /** Runs a program to its end. */
  async exec(words: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const { input, signal } = options;
    const command = this.command(words, options, {
      stdin: input === undefined ? "null" : "piped",
      ...(signal ? { signal } : {}),
    });
    return await finish(command.spawn(), input);
  }

  /** Starts a program. Dispose or kill it; the lab's end does so too. */
  spawn(words: readonly string[], options: RunOptions = {}, pipes: Deno.CommandOptions = {}) {
    return this.command(words, options, pipes).spawn();
  }

  /** Runs `burst` with a netlink socket of the namespace. */
  netlink<T>(burst: (netlink: NetlinkSocket) => T): T {
    using namespace = openNamespace(this.netns);
    using netlink = NetlinkSocket.open({ netns: namespace.fd });
    return burst(netlink);
  }

  /** Writes sysctls in the namespace. */
  sysctl(sysctls: Iterable<readonly [string, string]>): void {
    using namespace = openNamespace(this.netns);
    inNamespace(namespace.fd, () => writeSysctls(sysctls));
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

/** The end of a process that is given `input` on stdin. */
export async function finish(child: Deno.ChildProcess, input?: string): Promise<RunResult> {
  if (input !== undefined) {
    // a program that does not read its input is no failure of ours
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(input)).catch(() => {});
    await writer.close().catch(() => {});
  }
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
