/** A real etcd on the loopback, for one test. */

import { programPath } from "./control_plane.ts";
import { freePort } from "./free_port.ts";
import { retry } from "./retry.ts";

/** See the module. */
export class Etcd implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "pilus-etcd-" });
  readonly port = freePort();
  readonly #peerPort = freePort();
  #child: Deno.ChildProcess | undefined;

  static async start(): Promise<Etcd> {
    const etcd = new Etcd();
    try {
      await etcd.run();
      return etcd;
    } catch (error) {
      await etcd[Symbol.asyncDispose]();
      throw error;
    }
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Resolves when it answers. */
  async run(): Promise<void> {
    const peer = `http://127.0.0.1:${this.#peerPort}`;
    this.#child = new Deno.Command(programPath("etcd"), {
      args: [
        ...["--data-dir", `${this.directory}/data`, "--unsafe-no-fsync", "--log-level", "error"],
        ...["--listen-client-urls", this.url, "--advertise-client-urls", this.url],
        ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
        ...["--initial-cluster", `default=${peer}`],
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    await retry(() => this.ask("/v3/kv/range", { key: btoa("x") }));
  }

  async stop(): Promise<void> {
    try {
      this.#child?.kill("SIGKILL");
    } catch { /* it has ended */ }
    await this.#child?.status;
    this.#child = undefined;
  }

  /** While it does not run. */
  forgetState(): void {
    Deno.removeSync(`${this.directory}/data`, { recursive: true });
  }

  /** Keeps its state aside, or takes that one back, while it does not run. */
  copyState(from: string, to: string): void {
    const args = ["-a", `${this.directory}/${from}`, `${this.directory}/${to}`];
    const { success } = new Deno.Command("cp", { args }).outputSync();
    if (!success) throw new Error(`cannot copy ${from}`);
  }

  /** The answer of a request that must succeed. */
  async ask(path: string, body: unknown): Promise<Record<string, unknown>> {
    const response = await fetch(this.url + path, { method: "POST", body: JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  /** By key, the values below a prefix. */
  async entries(prefix: string): Promise<Record<string, string>> {
    const end = prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
    const { kvs = [] } = await this.ask("/v3/kv/range", {
      key: btoa(prefix),
      range_end: btoa(end),
    });
    return Object.fromEntries(
      (kvs as { key: string; value: string }[]).map(({ key, value }) => [atob(key), atob(value)]),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    Deno.removeSync(this.directory, { recursive: true });
  }
}
