import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { AccessError } from "./access.ts";
import { inClusterReader } from "./in_cluster.ts";
import { kubeconfigReader } from "./kubeconfig.ts";

const PEM = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
const KEY = "-----BEGIN EC PRIVATE KEY-----\nSECRET\n-----END EC PRIVATE KEY-----\n";
const SERVER = "https://192.0.2.1:6443";

interface Place extends Disposable {
  directory: string;
  write(name: string, text: string): string;
}

function place(): Place {
  const directory = Deno.makeTempDirSync();
  return {
    directory,
    write(name, text) {
      Deno.writeTextFileSync(`${directory}/${name}`, text);
      return `${directory}/${name}`;
    },
    [Symbol.dispose]: () => Deno.removeSync(directory, { recursive: true }),
  };
}

const config = (user: object, cluster: object = {}, more: object = {}) =>
  JSON.stringify({
    "current-context": "here",
    contexts: [{ name: "here", context: { cluster: "c", user: "u" } }],
    clusters: [{ name: "c", cluster: { server: SERVER, ...cluster } }],
    users: [{ name: "u", user }],
    ...more,
  });

Deno.test("kubeconfigReader() takes certificates and tokens, as data and as files beside it", () => {
  using files = place();
  files.write("ca.crt", PEM);
  files.write("cert", PEM);
  files.write("key", KEY);
  files.write("token", "SECRET\n");
  const certificate = { cert: PEM, key: KEY };
  const cases: [user: object, cluster: object, given: object][] = [
    [{ token: "SECRET" }, {}, { token: "SECRET" }],
    [{ tokenFile: "token" }, {}, { token: "SECRET" }],
    [{ token: "OLD", tokenFile: "token" }, {}, { token: "SECRET" }],
    [{ "client-certificate-data": btoa(PEM), "client-key-data": btoa(KEY) }, {}, { certificate }],
    [{ "client-certificate": "cert", "client-key": `${files.directory}/key` }, {}, { certificate }],
    [{}, { "certificate-authority": "ca.crt" }, { caCerts: PEM }],
    [{}, { "certificate-authority-data": btoa(PEM) }, { caCerts: PEM }],
    [{}, { "proxy-url": "http://192.0.2.7:3128" }, { proxy: "http://192.0.2.7:3128" }],
    [{}, { server: `${SERVER}/` }, {}],
    [{ exec: null }, { "insecure-skip-tls-verify": false }, {}],
  ];
  for (const [user, cluster, given] of cases) {
    const path = files.write("kubeconfig", config(user, cluster));
    const origin = `kubeconfig ${path}, context here`;
    assertEquals(kubeconfigReader(path)(), { servers: [SERVER], origin, ...given });
  }
});

Deno.test("kubeconfigReader() says what is missing or not done, and nothing of what is secret", () => {
  using files = place();
  files.write("empty", "");
  files.write("huge", "SECRET".repeat(1 << 20));
  new Deno.Command("mkfifo", { args: [`${files.directory}/pipe`] }).outputSync();
  const secret = { token: "SECRET" };
  const cases: [text: string, message: string][] = [
    ["{", "is no YAML"],
    ["token: SECRET\n  a: [", "is no YAML"],
    ["[]", "must be a map"],
    ["{}", "current-context is missing"],
    [config(secret, {}, { contexts: [] }), "contexts has none of the name here"],
    [config(secret, {}, { clusters: [] }), "clusters has none of the name c"],
    [config(secret, {}, { users: [{ name: "other" }] }), "users has none of the name u"],
    [config(secret, { server: "" }), "must be a URL such as https://"],
    [config({}, { server: "https://a:SECRET@192.0.2.1" }), "must be a URL such as https://"],
    [config({}, { server: "https://:SECRET@192.0.2.1" }), "must be a URL such as https://"],
    [config({}, { server: "https://192.0.2.1/#SECRET" }), "must be a URL such as https://"],
    [config({}, { "proxy-url": "http://a:SECRET@192.0.2.7" }), "must be a URL such as https://"],
    [config({ token: "SECRET\nSECRET" }), "the token has characters that no token has"],
    [config({ token: "SECRET\u20ac" }), "the token has characters that no token has"],
    [config({ tokenFile: "pipe" }), "tokenFile of the kubeconfig, cannot be read"],
    [config({ tokenFile: "/dev/zero" }), "tokenFile of the kubeconfig, cannot be read"],
    [config({ tokenFile: "huge" }), "tokenFile of the kubeconfig, cannot be read"],
    [config(secret, { server: "192.0.2.1:6443" }), "must be a URL such as https://"],
    [config(secret, { server: "http://192.0.2.1" }), "is not https, and the credentials"],
    [config({ ...secret, exec: { command: "SECRET" } }), "has exec: programs that give"],
    [config({ "auth-provider": { name: "x" } }), "has auth-provider"],
    [config({ username: "a", password: "SECRET" }), "has username: API servers take no passwords"],
    [config({ ...secret, as: "admin" }), "has as: pilus acts for nobody else"],
    [config(secret, { "insecure-skip-tls-verify": true }), "has insecure-skip-tls-verify"],
    [config(secret, { "tls-server-name": "kubernetes" }), "has tls-server-name"],
    [config({ "client-certificate-data": btoa(PEM) }), "must have both"],
    [config({ "client-certificate": "empty", "client-key": "empty" }), "is not in PEM"],
    [config({ "client-key-data": "SECRET!", ...secret }), "client-key-data is not base64"],
    [
      config({ "client-certificate-data": btoa(PEM), "client-key-data": btoa("SECRET") }),
      "client-key is not in PEM",
    ],
    [config({ tokenFile: "away" }), "tokenFile of the kubeconfig, is not there"],
    [config(secret, { "certificate-authority": "away" }), "is not there"],
    [config(secret, { "certificate-authority": "kubeconfig" }), "is not in PEM"],
  ];
  for (const [text, message] of cases) {
    const path = files.write("kubeconfig", text);
    const error = assertThrows(() => kubeconfigReader(path)(), AccessError, message, text);
    assertEquals(error.message.includes("SECRET"), false, error.message);
  }
  assertThrows(() => kubeconfigReader(`${files.directory}/none`)(), AccessError, "is not there");
});

Deno.test("inClusterReader() reads the token that the kubelet has put there last", () => {
  using files = place();
  const environment = (name: string) =>
    ({ KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "6443" })[name];
  const read = inClusterReader({ directory: files.directory, environment });
  assertThrows(read, AccessError, "the service account's token, is not there");
  files.write("token", "first\n");
  assertThrows(read, AccessError, "certificate authority, is not there");
  files.write("ca.crt", PEM);
  const origin = `service account in ${files.directory}`;
  const access = { servers: ["https://[fd00::1]:6443"], origin, caCerts: PEM };
  assertEquals(read(), { ...access, token: "first" });
  files.write("token", "second\n");
  assertEquals(read(), { ...access, token: "second" });
  const { directory } = files;
  const away = assertThrows(inClusterReader({ directory, environment: () => undefined }));
  assertStringIncludes((away as Error).message, "name the API server by --api-server");
  const servers = [SERVER];
  assertEquals(inClusterReader({ directory, environment, servers })().servers, servers);
});
