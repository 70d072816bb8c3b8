import { assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { resourceKey } from "../../kubernetes/resources.ts";
import { place, until } from "./_test_place.ts";
import { type Manifest, parseManifest } from "../../kubernetes/manifest.ts";

const POLICY = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: demo}
spec:
  podSelector: {}
  ingress:
    - from:
        - podSelector: {matchLabels: {app: client}}
      ports: [{port: 80}]
`;

const JSON_POLICY = {
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name: "web" },
  spec: { podSelector: {} },
};

function problemsOf(text: string): string[] {
  return parseManifest(text).problems.map(({ line, message }) => `${line}: ${message}`);
}

Deno.test("FileSource counts kinds that it does not read, and policies among them are problems", async () => {
  await using at = place();
  const resource = (apiVersion: string, kind: string) =>
    JSON.stringify({ apiVersion, kind, metadata: { name: "x" } }) + "\n---\n";
  at.rename("app.yaml", resource("apps/v1", "Deployment") + resource("apps/v1", "Deployment"));
  at.rename(
    "old.yaml",
    resource("extensions/v1beta1", "NetworkPolicy") +
      resource("networking.k8s.io/v1", "Networkpolicy"),
  );
  await at.source.start();
  await until(() => at.source.ignored.size === 3);
  assertEquals(Object.fromEntries(at.source.ignored), {
    "apps/v1/Deployment": 2,
    "extensions/v1beta1/NetworkPolicy": 1,
    "networking.k8s.io/v1/Networkpolicy": 1,
  });
  const [first = "", second = ""] = at.problems().sort();
  assertStringIncludes(first, "1 resource of extensions/v1beta1/NetworkPolicy, which is not read");
  assertStringIncludes(second, "1 resource of networking.k8s.io/v1/Networkpolicy");
  at.remove("old.yaml");
  await until(() => at.source.ignored.size === 1);
  assertEquals(at.problems(), []);
});

Deno.test("FileSource starts with what was written just before, not with what was in force", async () => {
  await using at = place();
  const node = (cidr: string) =>
    JSON.stringify({
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: "here" },
      spec: { podCIDR: cidr },
    });
  at.rename("node.yaml", node("10.60.1.0/24"));
  await at.source.start();
  assertEquals(at.tables.Node.get("here")?.spec?.podCIDR, "10.60.1.0/24");
  await at.source[Symbol.asyncDispose]();
  at.rename("node.yaml", node("10.60.1.0/30"));
  await at.restart();
  await at.source.start();
  assertEquals(at.tables.Node.get("here")?.spec?.podCIDR, "10.60.1.0/30");
});

Deno.test("parseManifest() reads documents, lists and JSON, fills in defaults and counts what it does not read", () => {
  const manifest = parseManifest(`
apiVersion: v1
kind: Pod
metadata: {name: a}
---
# nothing here
---
apiVersion: v1
kind: List
items:
  - {apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}
  - apiVersion: v1
    kind: Namespace
    metadata: {name: m, labels: {team: x}}
---
{"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "k"}}
---
{"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "b", "namespace": "m"}}]}
`);
  assertEquals(manifest.problems, []);
  assertEquals(
    manifest.resources.map(({ kind, resource, line }) => [kind, resourceKey(resource), line]),
    [
      ["Pod", "default/a", 2],
      ["Namespace", "m", 12],
      ["Pod", "m/b", 18],
    ],
  );
  assertEquals([...manifest.ignored], [["apps/v1/Deployment", 1], [
    "serving.knative.dev/v1/Service",
    1,
  ]]);
});

Deno.test("parseManifest() reads a file of JSON as it would read it as YAML", () => {
  const pod = (name: unknown) =>
    JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name, labels: null } }, null, 2);
  const list = JSON.stringify({ apiVersion: "v1", kind: "List", items: [] }, null, 2);
  const good = `\n${pod("a")}\n---\n\n${pod("b---c")}\n--- \n${pod("d")}`;
  assertEquals(
    parseManifest(good).resources.map(({ resource, line }) => [resourceKey(resource), line]),
    [["default/a", 2], ["default/b---c", 12], ["default/d", 21]],
  );
  for (const more of ["", `\n---\n${list}`, "\n---\n# YAML\n"]) {
    const asYaml = parseManifest(`# a comment\n${(good + more).slice(1)}`);
    assertEquals(parseManifest(good + more), asYaml);
  }
  // what is wrong is told with its own line
  const [problem] = problemsOf(`${pod("a")}\n---\n${pod(7)}`);
  assertStringIncludes(problem!, "14: Pod: metadata.name is the number 7");
  assertEquals(problemsOf(`${pod("a")}\n---\n{"kind": "Pod",`).length > 0, true);
});

Deno.test("parseManifest() follows aliases, but not into more than memory holds", () => {
  const pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n";
  const [made] = parseManifest(`${pod}  labels: &l {app: x}\nspec: {}\n`).resources;
  const [same] = parseManifest(`${pod}  annotations: &l {app: x}\n  labels: *l\n`).resources;
  assertEquals(same!.resource.metadata.labels, made!.resource.metadata.labels);
  assertEquals(problemsOf(`${pod}  annotations: &l\n    app: x\n    b: 7\n  labels: *l\n`), [
    '7: Pod a: metadata.annotations.b is the number 7, and must be a text; write it in quotes: "7"',
    "7: Pod a: metadata.labels.b is the number 7, and must be a label value of at most 63 " +
    `letters, digits, '-', '_' and '.'; write it in quotes: "7"`,
  ]);
  const bomb = Array.from({ length: 9 }, (_, i) => {
    const before = i === 0 ? "x" : `*a${i - 1}`;
    return `a${i}: &a${i} [${Array(9).fill(before).join()}]`;
  });
  assertStringIncludes(
    problemsOf(bomb.join("\n")).join(),
    "1: not to be read: has aliases that make more than 500000 parts of it",
  );
});

/** What kubectl reads, and what comes of it. */
const READ: Record<string, [text: string, seen: (manifest: Manifest) => unknown, value: unknown]> =
  {
    "a mark of byte order in a later document": [
      `${namespaceText("a")}---\n\uFEFF${namespaceText("b")}`,
      names,
      ["a", "b"],
    ],
    "JSON after JSON": [
      `${JSON.stringify(JSON_POLICY)}\n${
        JSON.stringify(JSON_POLICY, null, 2)
      }{"kind":"List","apiVersion":"v1","items":[]}`,
      names,
      ["web", "web"],
    ],
    "a list with nothing in it": [
      `apiVersion: v1\nkind: List\nitems:\n-\n- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n`,
      names,
      ["a"],
    ],
    "labels and annotations without a value": [
      "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {x: }, annotations: {z: }}\n",
      (
        { resources: [entry] },
      ) => [entry!.resource.metadata.labels, entry!.resource.metadata.annotations],
      [{ x: "" }, { z: "" }],
    ],
    "merged maps": [
      `${POLICY.replace("- from", "- &base\n      from")}    - <<: *base\n`,
      ({ resources: [entry] }) =>
        (entry!.resource as { spec: { ingress: unknown[] } }).spec.ingress.length,
      2,
    ],
    "numbers of YAML 1.1": [
      POLICY.replace("port: 80", "port: 0120").replace("}]\n", "}, {port: 8_080}]\n"),
      ({ resources: [entry] }) => JSON.stringify(entry!.resource).match(/"port":\d+/g),
      ['"port":80', '"port":8080'],
    ],
    "times and numbers of base 60": [
      "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, annotations: {t: 2024-01-01, s: 1:30}}\n",
      ({ resources: [entry] }) => entry!.resource.metadata.annotations,
      { t: "2024-01-01", s: "1:30" },
    ],
    "an anchor that is used often": [
      "apiVersion: v1\nkind: List\nitems:\n" +
      "- &a {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n" + "- *a\n".repeat(300),
      names,
      Array(301).fill("a"),
    ],
    "a policy without a selector": [
      POLICY.replace("  podSelector: {}\n", ""),
      names,
      ["web"],
    ],
  };

function namespaceText(name: string): string {
  return `apiVersion: v1\nkind: Namespace\nmetadata: {name: ${name}}\n`;
}

function names({ resources }: Manifest): string[] {
  return resources.map(({ resource }) => resource.metadata.name);
}

Deno.test("parseManifest() reads what kubectl reads", async (t) => {
  for (const [name, [text, seen, value]] of Object.entries(READ)) {
    await t.step(name, () => {
      const manifest = parseManifest(text);
      assertEquals(manifest.problems, []);
      assertEquals(seen(manifest), value);
    });
  }
});

Deno.test("parseManifest() says line, field and fix of what is wrong", () => {
  assertEquals(problemsOf(POLICY.replace("podSelector: {}", "podSelecter: {}")), [
    "6: NetworkPolicy web: spec.podSelecter is not a field known here; did you mean `podSelector`?",
  ]);
  assertEquals(problemsOf(POLICY.replace("port: 80", "port: 80000")), [
    "10: NetworkPolicy web: spec.ingress[0].ports[0].port is the number 80000, and must be an " +
    "integer from 1 to 65535",
  ]);
  assertEquals(problemsOf(POLICY.replace("app: client", "app: true")), [
    "9: NetworkPolicy web: spec.ingress[0].from[0].podSelector.matchLabels.app is the boolean true, " +
    "and must be a label value of at most 63 letters, digits, '-', '_' and '.'; write it in quotes: " +
    '"true"',
  ]);
  assertEquals(
    problemsOf(
      POLICY.replace("podSelector: {matchLabels: {app: client}}", "ipBlock: {cidr: 10.0.0.0/33}"),
    ),
    [
      '9: NetworkPolicy web: spec.ingress[0].from[0].ipBlock.cidr is the string "10.0.0.0/33", and ' +
      "must be an IPv4 or IPv6 prefix such as 10.0.0.0/8",
    ],
  );
  assertEquals(problemsOf(POLICY.replace("podSelector: {matchLabels: {app: client}}", "{}")), [
    "9: NetworkPolicy web: spec.ingress[0].from[0] names no peer; give podSelector, " +
    "namespaceSelector or ipBlock ({} selects all)",
  ]);
  assertEquals(problemsOf(POLICY.replace("networking.k8s.io/v1", "networking.k8s.io/v1beta1")), [
    "2: apiVersion is networking.k8s.io/v1beta1, and must be networking.k8s.io/v1 for NetworkPolicy",
  ]);
  assertEquals(problemsOf("kind: Pod\nmetadata: {name: a}\n"), [
    "1: apiVersion is missing, and must be there",
  ]);
  assertStringIncludes(problemsOf("apiVersion: v1\nkind: [Pod\n").join(), "not valid YAML");
  assertEquals(problemsOf("just text"), [
    "1: a resource must be a map with apiVersion, kind and metadata",
  ]);
});

Deno.test("FileSource fills the tables, follows changes and reports duplicates", async () => {
  await using p = place();
  p.write("a.yaml", POLICY);
  await p.source.start();
  assertEquals(p.tables.NetworkPolicy.keys(), ["demo/web"]);

  Deno.mkdirSync(join(p.directory, "sub"));
  p.write("sub/b.json", '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"}}');
  await until(() => p.tables.Pod.has("default/x"));

  p.write(".draft", POLICY.replace("web", "api"));
  Deno.renameSync(join(p.directory, ".draft"), join(p.directory, "a.yaml"));
  await until(() => p.tables.NetworkPolicy.has("demo/api"));
  assertEquals(p.tables.NetworkPolicy.size, 1);

  p.write("c.yaml", POLICY.replace("web", "api"));
  await until(() => p.tables.problems.size === 1);
  assertEquals(p.problems(), [
    "c.yaml:2: NetworkPolicy demo/api is in a.yaml:2 already, and that one is used; remove one",
  ]);
  Deno.removeSync(join(p.directory, "a.yaml"));
  await until(() => p.tables.problems.size === 0);
  assertEquals(p.tables.NetworkPolicy.keys(), ["demo/api"]);
});

Deno.test("FileSource keeps the last good version of a broken file, over a restart too", async () => {
  await using p = place();
  p.write("a.yaml", POLICY);
  await p.source.start();
  p.write("a.yaml", POLICY.replace("podSelector: {}", "podSelector: []"));
  p.write("new.yaml", "kind: {");
  await until(() => p.tables.problems.size >= 2);
  assertEquals(p.tables.NetworkPolicy.keys(), ["demo/web"]);
  assertEquals(
    p.problems()[0],
    "a.yaml:6: NetworkPolicy web: spec.podSelector is a list, and must be a map (the last good " +
      "version of the file stays in force)",
  );
  assertStringIncludes(p.problems()[1]!, "(nothing of the file is in force)");
  await p.restart();
  await p.source.start();
  assertEquals(p.policies(), ["demo/web"]);
  p.write("a.yaml", POLICY.replace("web", "fixed"));
  await until(() => p.tables.NetworkPolicy.has("demo/fixed"));
});

Deno.test("FileSource has policies before the many pods of a file, and longer", async () => {
  await using p = place();
  await p.source.start();
  const pods = Array.from(
    { length: 20_000 },
    (_, i) => `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p${i}"}}`,
  );
  const bare: number[] = [];
  const check = () => {
    if (p.tables.NetworkPolicy.size === 0 && p.tables.Pod.size > 0) bare.push(p.tables.Pod.size);
  };
  const timer = setInterval(check, 0);
  p.write("a.yaml", `${pods.join("\n---\n")}\n---\n${JSON.stringify(JSON_POLICY)}`);
  await until(() => p.tables.Pod.size === pods.length);
  check();
  Deno.removeSync(join(p.directory, "a.yaml"));
  await until(() => p.tables.NetworkPolicy.size === 0);
  check();
  clearInterval(timer);
  assertEquals(bare, []);
});

Deno.test("FileSource keeps what it has when the directory cannot be read", async () => {
  await using p = place({ rescanMs: 30 });
  p.write("a.yaml", POLICY);
  await p.source.start();
  Deno.renameSync(p.directory, `${p.directory}.away`);
  await until(() => p.tables.problems.size === 1);
  assertEquals(p.tables.NetworkPolicy.keys(), ["demo/web"]);
  Deno.renameSync(`${p.directory}.away`, p.directory);
  await until(() => p.tables.problems.size === 0);
});

Deno.test("the example manifests have nothing wrong", () => {
  const folder = fromFileUrl(new URL("../../../examples", import.meta.url));
  for (const { name } of Deno.readDirSync(folder)) {
    assertEquals(problemsOf(Deno.readTextFileSync(join(folder, name))), [], name);
  }
});

Deno.test("FileSource goes through linked directories once, and does not look at hidden ones", async () => {
  await using p = place();
  Deno.mkdirSync(join(p.directory, "sub"));
  Deno.mkdirSync(join(p.directory, ".hidden"));
  p.write("sub/a.yaml", POLICY);
  p.write(".hidden/b.yaml", POLICY.replace("web", "hidden"));
  for (const name of ["loop", "sub/up"]) Deno.symlinkSync(p.directory, join(p.directory, name));
  await p.source.start();
  assertEquals(p.tables.NetworkPolicy.keys(), ["demo/web"]);
  assertEquals(p.problems(), []);
});
