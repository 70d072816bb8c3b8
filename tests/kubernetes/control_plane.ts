/** A real API server with a real etcd, on the loopback, for one test. */

import { freePort } from "./free_port.ts";
import { retry } from "./retry.ts";

const BIN = `${
  Deno.env.get("BUILD_CACHE") ?? `${Deno.env.get("HOME")}/.cache/pilus`
}/kubernetes/bin`;

export function programPath(name: string): string {
  return `${BIN}/${name}`;
}

/** Why there is no control plane here; undefined when there is one. */
export function whyNoControlPlane(): string | undefined {
  const missing = ["etcd", "kube-apiserver"].find((name) => {
    try {
      return !Deno.statSync(`${BIN}/${name}`).isFile;
    } catch {
      return true;
    }
  });
  return missing && `${missing} is not built: scripts/kubernetes/build.sh makes it`;
}

/** A user of the server, by its token. */
export interface TestUser {
  name: string;
  groups?: string[];
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

const ADMIN: TestUser = { name: "admin", groups: ["system:masters"] };

/** See the module. */
export class ControlPlane implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "pilus-kubernetes-" });
  readonly port = freePort();
  readonly #etcdPort = freePort();
  readonly #users: readonly TestUser[];
  #etcd: Deno.ChildProcess | undefined;
  #server: Deno.ChildProcess | undefined;
  #http: Deno.HttpClient | undefined;

  private constructor(users: readonly TestUser[]) {
    this.#users = [ADMIN, ...users];
  }

  /** Starts both, and resolves when the server is ready. */
  static async start(users: readonly TestUser[] = []): Promise<ControlPlane> {
    const plane = new ControlPlane(users);
    try {
      await plane.#prepare();
      plane.startEtcd();
      await plane.startServer();
      return plane;
    } catch (error) {
      await plane[Symbol.asyncDispose]();
      throw error;
    }
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}`;
  }

  /** Those who have signed the server's certificate, in PEM. */
  get caCerts(): string {
    return Deno.readTextFileSync(`${this.directory}/certs/apiserver.crt`);
  }

  tokenOf({ name }: TestUser): string {
    return `secret-of-${name}`;
  }

  /** A kubeconfig of the user, for this server or one that stands before it. */
  kubeconfig(user: TestUser = ADMIN, server = this.url): string {
    const path = `${this.directory}/${user.name}.kubeconfig`;
    const config = {
      "current-context": "test",
      contexts: [{ name: "test", context: { cluster: "test", user: user.name } }],
      clusters: [{
        name: "test",
        cluster: { server, "certificate-authority": `${this.directory}/certs/apiserver.crt` },
      }],
      users: [{ name: user.name, user: { token: this.tokenOf(user) } }],
    };
    Deno.writeTextFileSync(path, JSON.stringify(config));
    return path;
  }

  /** Makes a certificate of the name that its clients' authority has signed, and has run out. */
  async expiredCertificate(name: string): Promise<{ cert: string; key: string }> {
    const { directory } = this;
    const [key, request, cert] = ["key", "csr", "crt"].map((end) => `${directory}/${name}.${end}`);
    await run(
      "openssl",
      "req",
      ...NEW_KEY,
      "-subj",
      `/CN=${name}`,
      "-keyout",
      key!,
      "-out",
      request!,
    );
    const authority = ["-CA", `${directory}/clients.crt`, "-CAkey", `${directory}/clients.key`];
    // without an extension it would be of a version that no TLS takes
    Deno.writeTextFileSync(`${directory}/extensions`, "extendedKeyUsage=clientAuth\n");
    const extensions = ["-extfile", `${directory}/extensions`];
    const rest = [...extensions, "-CAcreateserial", "-days", "-1", "-out", cert!];
    await run("openssl", "x509", "-req", "-in", request!, ...authority, ...rest);
    return { cert: Deno.readTextFileSync(cert!), key: Deno.readTextFileSync(key!) };
  }

  async #prepare(): Promise<void> {
    const { directory } = this;
    await run("openssl", "genrsa", "-out", `${directory}/sa.key`, "2048");
    const clients = ["-keyout", `${directory}/clients.key`, "-out", `${directory}/clients.crt`];
    await run("openssl", "req", "-x509", ...NEW_KEY, "-subj", "/CN=clients", ...clients);
    const lines = this.#users.map((user) =>
      `${this.tokenOf(user)},${user.name},${user.name},"${(user.groups ?? []).join(",")}"\n`
    );
    Deno.writeTextFileSync(`${this.directory}/tokens`, lines.join(""));
  }

  startEtcd(): void {
    const client = `http://127.0.0.1:${this.#etcdPort}`;
    const peer = `http://127.0.0.1:${freePort()}`;
    this.#etcd = this.#spawn("etcd", [
      ...["--data-dir", `${this.directory}/etcd`, "--unsafe-no-fsync", "--log-level", "warn"],
      ...["--listen-client-urls", client, "--advertise-client-urls", client],
      ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
      ...["--initial-cluster", `default=${peer}`],
    ]);
  }

  /** Resolves when it is ready. */
  async startServer(flags: readonly string[] = []): Promise<void> {
    const { directory } = this;
    this.#server = this.#spawn("kube-apiserver", [
      `--etcd-servers=http://127.0.0.1:${this.#etcdPort}`,
      `--secure-port=${this.port}`,
      "--bind-address=127.0.0.1",
      "--advertise-address=192.0.2.1",
      `--cert-dir=${directory}/certs`,
      `--token-auth-file=${directory}/tokens`,
      `--client-ca-file=${directory}/clients.crt`,
      "--authorization-mode=RBAC",
      "--service-account-issuer=https://kubernetes.default.svc",
      `--service-account-key-file=${directory}/sa.key`,
      `--service-account-signing-key-file=${directory}/sa.key`,
      "--service-cluster-ip-range=10.96.0.0/16",
      "--disable-admission-plugins=ServiceAccount",
      ...flags,
    ]);
    await retry(async () => {
      const response = await this.fetch("GET", "/readyz");
      if (response.status !== 200) throw new Error(`not ready: ${await response.text()}`);
      await response.body?.cancel();
    }, 60_000);
  }

  #spawn(program: string, args: readonly string[]): Deno.ChildProcess {
    const log = Deno.openSync(`${this.directory}/${program}.log`, { create: true, append: true });
    const child = new Deno.Command(`${BIN}/${program}`, {
      args: [...args],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    void child.stderr.pipeTo(log.writable).catch(() => {});
    return child;
  }

  async stopServer(signal: Deno.Signal = "SIGKILL"): Promise<void> {
    await end(this.#server, signal);
    this.#server = undefined;
    this.#http?.close();
    this.#http = undefined;
  }

  async stopEtcd(): Promise<void> {
    await end(this.#etcd, "SIGKILL");
    this.#etcd = undefined;
  }

  /** Of etcd, while it does not run. */
  forgetState(): void {
    Deno.removeSync(`${this.directory}/etcd`, { recursive: true });
  }

  /** A request, of the administrator by default. */
  fetch(
    method: string,
    path: string,
    body?: unknown,
    user = ADMIN,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    this.#http ??= Deno.createHttpClient({ caCerts: [this.caCerts] });
    return fetch(`${this.url}${path}`, {
      method,
      client: this.#http,
      headers: {
        ...headers,
        authorization: `Bearer ${this.tokenOf(user)}`,
        "content-type": method === "PATCH" ? "application/merge-patch+json" : "application/json",
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  /** The answer of a request that must succeed. */
  async request(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
    const response = await this.fetch(method, path, body);
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopServer();
    await this.stopEtcd();
    Deno.removeSync(this.directory, { recursive: true });
  }
}

async function end(child: Deno.ChildProcess | undefined, signal: Deno.Signal): Promise<void> {
  if (!child) return;
  try {
    child.kill(signal);
  } catch { /* it has ended */ }
  await child.status;
}

async function run(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args, stderr: "piped" }).output();
  if (!success) throw new Error(`${program}: ${new TextDecoder().decode(stderr)}`);
}
