import { assertEquals, assertMatch } from "@std/assert";
import { parseManifest } from "./manifest.ts";

const namespaceText = (name: string) =>
  `apiVersion: v1\nkind: Namespace\nmetadata: {name: ${name}}\n`;
const podText = (command: string) =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: c\n    command: ${command}\n`;

const problemsOf = (text: string) =>
  parseManifest(text).problems.map(({ line, message }) => `${line}: ${message}`);
const namesOf = (text: string) =>
  parseManifest(text).resources.map(({ resource }) => resource.metadata.name);

Deno.test("parseManifest() takes brackets and quoted lines however they are indented", () => {
  const commands = [
    '[\n    "a",\n    "b"\n    ]',
    '[\n      "a"\n  ]',
    "[\na,\n  b\n]",
    '["a\nb", {c: d,\n e: f}\n]',
    "[a, # why\nb]",
  ];
  for (const command of commands) assertEquals(problemsOf(podText(command)), [], command);
  const [pod] = parseManifest(`${podText('[\n"a"\n]')}    image: i\n  nodeName: b\n`).resources;
  assertEquals((pod!.resource as { spec?: { nodeName?: string } }).spec?.nodeName, "b");
  const [space] = parseManifest(
    "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  annotations:\n    x: 'first\n  second'\n    z: t\n",
  ).resources;
  assertEquals(space!.resource.metadata.annotations, { x: "first second", z: "t" });
  // a mark of documents ends them all the same
  assertMatch(problemsOf(`${podText("[a,")}---\n${namespaceText("b")}`).join(), /not valid YAML/);
});

Deno.test("parseManifest() takes a colon without a space behind it for part of a plain text", () => {
  const read = (annotations: string) => {
    const text =
      `apiVersion: v1\nkind: Namespace\nmetadata: {name: a, annotations: ${annotations}}\n`;
    const { resources: [one], problems } = parseManifest(text);
    return problems.length > 0 ? "refused" : one!.resource.metadata.annotations;
  };
  // as kubectl reads them
  const cases: [string, unknown][] = [
    ["{x:[]}", "refused"],
    ["{x:{}}", "refused"],
    ["{x :[]}", "refused"],
    ["{x:: []}", "refused"],
    ["{x: 'a', y:}", "refused"], // y: is no key of an annotation
    ["{x: a:b}", { x: "a:b" }],
    ["{x: a:}", { x: "a:" }],
    ["{x: a :, z: b}", { x: "a :", z: "b" }],
    ["{x: 'a', 'y':'b'}", { x: "a", y: "b" }],
    ["{x: [a:[]]}", "refused"],
  ];
  for (const [text, seen] of cases) assertEquals(read(text), seen, text);
});

Deno.test("parseManifest() reads truths as Kubernetes does, and says how to write a text", () => {
  const service = (value: string) =>
    "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n" +
    `spec: {ports: [{port: 80}], publishNotReadyAddresses: ${value}}\n`;
  for (const [text, value] of [["yes", true], ["Off", false], ["y", true], ["true", true]]) {
    const [read] = parseManifest(service(`${text}`)).resources;
    const { spec } = read!.resource as { spec: { publishNotReadyAddresses?: boolean } };
    assertEquals(spec.publishNotReadyAddresses, value);
  }
  const label = (value: string) =>
    problemsOf(`apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {x: ${value}}}\n`)
      .join();
  const hints: [value: string, message: RegExp][] = [
    ["yes", /is the boolean true, .*; write it in quotes: "yes"$/],
    ["1.10", /is the number 1.1, .*; write it in quotes: "1.10"$/],
    ["0120", /is the number 80, .*; write it in quotes: "0120"$/],
    ["1_0", /; write it in quotes: "1_0"$/],
    ["0o17", /is the number 15, .*; write it in quotes: "0o17"$/],
  ];
  for (const [value, message] of hints) assertMatch(label(value), message);
  assertEquals(label('"1.10"'), "");
});

Deno.test("parseManifest() refuses a map that has a key twice, in JSON too", () => {
  const policy = (spec: string) =>
    `{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",\n"metadata": {"name": "a"},\n` +
    `"spec": ${spec}}`;
  const twice = '{"podSelector": {},\n"podSelector": {"matchLabels": {"a": "b"}}}';
  for (
    const text of [policy(twice), `${policy("{}")}\n${policy(twice)}`, `# x\n${policy(twice)}`]
  ) {
    assertMatch(problemsOf(text).join(), /\d: not (to be read: a map has the key|valid YAML)/);
  }
  const nested = '{"podSelector": {"matchLabels": {"\\"a": "podSelector"}}, "ingress": [{}, {}]}';
  assertMatch(problemsOf(policy(nested)).join(), /matchLabels/, "the key of a label");
  assertEquals(problemsOf(policy('{"podSelector": {}, "ingress": [{}, {}]}')), []);
});

Deno.test("a broken document of a kind that is not read does not hold up the others", () => {
  const chart = "apiVersion: apps/v1\nkind: Deployment\nspec: {{ .Values.spec }}\nx: [\n";
  const text = `${namespaceText("a")}---\n${chart}---\n${namespaceText("b")}`;
  const { problems, ignored } = parseManifest(text);
  assertEquals([problems, namesOf(text)], [[], ["a", "b"]]);
  assertEquals([...ignored], [["apps/v1/Deployment", 1]]);
  // but of a kind that is read, or that is not known
  for (const kind of ["Namespace", "List", "NamespaceList"]) {
    const broken = `apiVersion: v1\nkind: ${kind}\nmetadata: [\n`;
    assertMatch(problemsOf(`${namespaceText("a")}---\n${broken}`).join(), /^\d+: not valid YAML/);
  }
  assertMatch(problemsOf(`metadata: [\n---\n${namespaceText("a")}`).join(), /^\d: not valid YAML/);
});

Deno.test("a template is one problem, which says so", () => {
  const said = "is a template, as of Helm: render it first, and put here what comes of it";
  const service = "apiVersion: v1\nkind: Service\nmetadata:\n";
  const templates: [text: string, line: number][] = [
    [`${service}  name: {{ .Release.Name }}\nspec:\n  ports: [{port: 80}]\n`, 4],
    [`{{- if .Values.on }}\n${service}  name: a\n{{- end }}\n`, 1],
    [`${service}  name: a\n  labels:\n    {{- include "labels" . | nindent 4 }}\n`, 6],
    [`${service}  name: a\nspec:\n  ports:\n    - port: {{ .Values.port }}\n`, 7],
    [`${service}  name: a\nspec:\n  ports:\n    - {{ .Values.port }}\n`, 7],
  ];
  for (const [text, line] of templates) assertEquals(problemsOf(text), [`${line}: ${said}`], text);
  // braces within a text are no template
  const quoted =
    `${service}  name: a\n  annotations: {x: "{{ y }}"}\nspec: {ports: [{port: 80}]}\n`;
  assertEquals(problemsOf(quoted), []);
  assertMatch(problemsOf(quoted.replace("port: 80", "port: 0")).join(), /is the number 0/);
});

Deno.test("a list's items are a list", () => {
  const list = (items: string, kind = "List") => `apiVersion: v1\nkind: ${kind}\nitems: ${items}\n`;
  assertEquals(problemsOf(list("")), []);
  for (const items of ["text", "{}", "7"]) {
    assertEquals(problemsOf(list(items)), ["1: items must be a list"]);
  }
  // whatever it is called, as for kubectl
  for (const kind of ["List", "Things", "'\"List\"'"]) {
    const item = "{apiVersion: v1, kind: Namespace, metadata: {name: a}}";
    assertEquals(namesOf(list(`[${item}]`, kind)), ["a"], kind);
  }
});
