/** The processes that talk, and what they have seen. */

import { fromFileUrl } from "@std/path";
import type { LabPod } from "../../cli/lab/lab.ts";
import type { Cut, Passed } from "./judge.ts";

const PORT = 7000;
const PYTHON = [
  "/usr/bin/python3",
  "-SE",
  fromFileUrl(new URL("traffic.py", import.meta.url)),
];

/** Who may talk and who may not: each client to each server, no denied pod to any. */
export interface Cast {
  servers: readonly LabPod[];
  clients: readonly LabPod[];
  denied: readonly LabPod[];
}

/** A line of traffic.py; which fields are there depends on the process. */
interface Line {
  t: number;
  passed?: string;
  what: string;
  bytes: number;
  cut?: string;
  fresh?: string;
  ok: boolean;
  why: string;
  open?: number;
  silent: number;
  sent?: number;
  unsent: number;
}

/** A new connection of a client to a server's address. */
interface Attempt {
  at: number;
  ok: boolean;
  why: string;
}

/** See the module. Disposing ends the processes. */
export class Traffic implements AsyncDisposable {
  readonly passed: Passed[] = [];
  readonly cuts: Cut[] = [];
  /** Datagrams of denied pods that left their sockets, and those that could not. */
  probes = 0;
  unsent = 0;
  readonly #children: Deno.ChildProcess[] = [];
  readonly #readers: Promise<void>[] = [];
  /** The last attempt by client and server address. */
  readonly #fresh = new Map<string, Attempt>();
  readonly #held = new Map<string, { open: number; silent: number; at: number }>();
  #wanted = 0;

  /** Starts everything; resolves when all processes are there. `count` connections are held. */
  static async start({ servers, clients, denied }: Cast, count: number): Promise<Traffic> {
    const traffic = new Traffic();
    const targets = servers.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6]);
    const each = Math.ceil(count / clients.length / targets.length);
    traffic.#wanted = each * targets.length;
    const sources = denied.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6]);
    await Promise.all(servers.map((pod) => traffic.#spawn(pod, ["serve", PORT, ...sources])));
    await Promise.all([
      ...clients.map((pod) => {
        for (const target of targets) {
          traffic.#fresh.set(`${pod.podName} ${target}`, { at: 0, ok: false, why: "none yet" });
        }
        return traffic.#spawn(pod, ["hold", PORT, each, ...targets]);
      }),
      ...denied.map((pod) => traffic.#spawn(pod, ["probe", PORT, ...targets])),
    ]);
    return traffic;
  }

  async #spawn(pod: LabPod, words: (string | number)[]): Promise<void> {
    const child = pod.spawn([...PYTHON, ...words.map(String)], {}, { stderr: "inherit" });
    this.#children.push(child);
    const ready = Promise.withResolvers<void>();
    this.#readers.push((async () => {
      for await (const text of lines(child.stdout)) {
        const line = JSON.parse(text) as Line & { ready?: true };
        if (line.ready) ready.resolve();
        else this.#take(pod, line);
      }
      ready.reject(new Error(`${words[0]} of ${pod.podName} has ended`));
    })());
    await ready.promise;
  }

  #take(pod: LabPod, line: Line): void {
    const { t: at, why, ok } = line;
    if (line.passed !== undefined) {
      const { what, bytes } = line;
      this.passed.push({ at, from: line.passed, to: pod.podName, what, bytes });
    } else if (line.cut !== undefined) {
      const client = line.cut.includes(":") ? pod.ipv6 : pod.ipv4;
      this.cuts.push({ at, client, server: line.cut, why });
    } else if (line.fresh !== undefined) {
      this.#fresh.set(`${pod.podName} ${line.fresh}`, { at, ok, why });
    } else if (line.open !== undefined) {
      this.#held.set(pod.podName, { open: line.open, silent: line.silent, at });
    } else {
      this.probes += line.sent!;
      this.unsent += line.unsent;
    }
  }

  /** Connections that are held now. */
  get open(): number {
    return [...this.#held.values()].reduce((sum, { open }) => sum + open, 0);
  }

  /** What allowed connections lack that were begun at `since` (Unix milliseconds) or later. */
  lacks(since: number): string[] {
    const fresh = [...this.#fresh].filter(([, { at, ok }]) => !ok || at < since)
      .map(([who, { ok, why }]) => `${who}: ${ok ? "not tried yet" : why}`);
    const held = [...this.#held].filter(([, { at, open }]) => at < since || open < this.#wanted)
      .map(([who, { open }]) => `${who} holds ${open} of ${this.#wanted} connections`);
    return [...fresh, ...held];
  }

  /** Seconds since the last echo of the connection that has waited longest. */
  get silence(): number {
    return Math.max(0, ...[...this.#held.values()].map(({ silent }) => silent));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      try {
        child.kill("SIGKILL");
      } catch {
        // it has ended
      }
    }
    await Promise.allSettled(this.#readers);
    await Promise.all(this.#children.map((child) => child.status));
  }
}

async function* lines(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const part of stream.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + part).split("\n");
    rest = parts.pop()!;
    yield* parts;
  }
}
