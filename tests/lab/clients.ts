/** Real clients inside the lab, and what they say. */

import { assertEquals } from "@std/assert";
import type { LabHost, LabNode, RunOptions, RunResult } from "../../cli/lab/lab.ts";
import { fromFileUrl } from "@std/path";

/** 1 MB, as peer.py serves it. */
export const MEGABYTE = Uint8Array.from({ length: 1 << 20 }, (_, i) => i % 251);

/** Words that run peer.py: Debian's Python, as a launcher of a version manager costs more than the test. */
export const PEER = ["/usr/bin/python3", "-SE", fromFileUrl(new URL("peer.py", import.meta.url))];

/** What peer.py's clients say. */
export interface PeerResult {
  ok?: boolean;
  /** errno's name, or "timeout". */
  error?: string;
  /** As getpeername(2) has it. */
  peer?: string;
  local?: string;
  answer?: string;
  /** Protocol, address and errno's name of what went wrong. */
  failed?: [string, string, string][];
  ms: number;
  /** Which of several datagrams came back. */
  answered?: boolean[];
  /** Likewise, for each order of fragments. */
  orders?: boolean[][];
  /** How many of each batch of datagrams came back, or why it was not sent. */
  came?: (number | string)[];
}

/** The URL's form of an address. */
function urlHost(ip: string): string {
  return ip.includes(":") ? `[${ip}]` : ip;
}

/** Runs a client of peer.py. Throws Error when it breaks. */
export async function peer(
  host: LabHost,
  words: readonly (string | number)[],
  options: RunOptions = {},
): Promise<PeerResult> {
  const { stdout, stderr } = await host.exec([...PEER, ...words.map(String)], options);
  if (stderr !== "") throw new Error(`peer ${words.join(" ")} in ${host.name}: ${stderr}`);
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as PeerResult;
}

/** One TCP connection with an echo. */
export function tcp(host: LabHost, ip: string, port = 7000, options?: RunOptions) {
  return peer(host, ["tcp", ip, port], options);
}

/** One datagram of `data` bytes (or that text) with its echo. */
export function udp(
  host: LabHost,
  ip: string,
  port = 7000,
  data: number | string = 64,
  options?: RunOptions,
) {
  return peer(host, ["udp", ip, port, data], options);
}

/** Datagrams from as many ports. */
export async function flood(host: LabHost, ip: string, ports: number): Promise<void> {
  await host.exec([...PEER, "flood", ip, "7000", String(ports)]);
}

/** Pings; the result's code is 0 when an answer came. */
export function ping(host: LabHost, ip: string, ...more: string[]): Promise<RunResult> {
  return host.exec(["ping", "-n", "-c1", "-W2", ...more, ip]);
}

/** GET. Throws Error when there is no answer. */
export async function get(
  host: LabHost,
  ip: string,
  path: string,
  { port = 8080, ...options }: RunOptions & { port?: number } = {},
): Promise<string> {
  const url = `http://${urlHost(ip)}:${port}${path}`;
  const { code, stdout, stderr } = await host.exec(
    ["curl", "-gsS", "--max-time", "5", url],
    options,
  );
  if (code !== 0) throw new Error(`curl ${url} in ${host.name}: ${stderr.trim()}`);
  return stdout;
}

/** SHA-256 in hexadecimal digits. */
export async function sha256(data: Uint8Array<ArrayBuffer>): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Fetches 1 MB; resolves to its SHA-256. */
export async function download(host: LabHost, ip: string, port = 8080): Promise<string> {
  const url = `http://${urlHost(ip)}:${port}/bytes/${MEGABYTE.length}`;
  const pipe = 'curl -gsS --max-time 20 "$0" | sha256sum';
  const { stdout, stderr } = await host.exec(["sh", "-c", pipe, url]);
  if (stderr !== "") throw new Error(`curl ${url} in ${host.name}: ${stderr.trim()}`);
  return stdout.split(" ")[0]!;
}

/** Posts 1 MB; resolves to the SHA-256 that the server saw. */
export async function upload(host: LabHost, ip: string, file: string): Promise<string> {
  const url = `http://${urlHost(ip)}:8080/sum`;
  const { code, stdout, stderr } = await host.exec(
    ["curl", "-gsS", "--max-time", "20", "--data-binary", `@${file}`, url],
  );
  if (code !== 0) throw new Error(`curl ${url} in ${host.name}: ${stderr.trim()}`);
  return stdout;
}

/** Milliseconds after which a manifest that was renamed into place is in the tables of an idle agent. */
const MANIFEST_MS = 150;

/** Waits until the kernel of the nodes has what their agents' tables say, and manifests said before. */
export async function inKernel(...nodes: LabNode[]): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, MANIFEST_MS));
  for (const node of nodes) {
    await settle(
      () => node.status(),
      ({ reconcilers }) => reconcilers.every(({ pending }) => pending === 0),
    );
  }
}

/** Reads until it is as wanted, for at most `ms`; resolves to what was read last. */
export async function settle<T>(
  read: () => T | Promise<T>,
  wanted: (value: T) => boolean,
  ms = 20_000,
): Promise<T> {
  const deadline = Date.now() + ms;
  while (true) {
    const value = await read();
    if (wanted(value) || Date.now() > deadline) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Whether one echo over TCP is as wanted, given the time that a policy takes to be installed. */
export async function assertTcp(
  from: LabHost,
  ip: string,
  wanted: boolean,
  port = 7000,
): Promise<void> {
  const result = await settle(() => tcp(from, ip, port), ({ ok }) => (ok ?? false) === wanted);
  assertEquals(
    result.ok ?? false,
    wanted,
    `TCP ${port} from ${from.name}: ${result.error ?? "ok"}`,
  );
}

/** Echoes that a TCP connection gets, as they come. Dispose of it to end it. */
export function hold(from: LabHost, ip: string) {
  const child = from.spawn([...PEER, "hold", ip, "7000", "60"], {}, { stderr: "inherit" });
  let echoes = 0, last = 0;
  const done = (async () => {
    const decoder = new TextDecoder();
    for await (const part of child.stdout) {
      echoes += decoder.decode(part).split("\n").length - 1;
      last = Date.now();
    }
  })();
  return {
    get echoes() {
      return echoes;
    },
    /** Milliseconds since the last one. */
    get silence() {
      return Date.now() - last;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await done;
      await child.status;
    },
  };
}
