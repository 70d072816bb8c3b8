import { assert, assertEquals } from "@std/assert";
import { FileSource } from "./file_source.ts";

const pod = (rest: string) =>
  `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"e","namespace":"demo"},${rest}}`;
const keys = (count: number) => Array.from({ length: count }, (_, i) => `"k${i}":1`).join();

/** What a file may say to harm its reader, and a part of what is said of it. */
const HOSTILE: [name: string, text: string | Uint8Array, said: string][] = [
  ["flow lists in one another", "a: " + "[".repeat(100_000), "levels of maps and lists"],
  ["flow maps in one another", "{a: ".repeat(20_000) + "1" + "}".repeat(20_000), "levels"],
  ["block lists in one another", "- ".repeat(20_000) + "a", "levels"],
  ["JSON in JSON", '{"a":'.repeat(1_000_000) + "1" + "}".repeat(1_000_000), "levels"],
  ["a list in a list", '{"kind":"List","items":['.repeat(9_000) + "]}".repeat(9_000), "levels"],
  ["unknown fields", pod(`"spec":{${keys(200_000)}}`), "not a field known here"],
  ["some unknown fields", pod(`"spec":{${keys(900)}}`), "not a field known here"],
  [
    "a long name of a field",
    pod(`"spec":{"${"x".repeat(3_000_000)}":1}`),
    "not a field known here",
  ],
  ["anchors", "&a ".repeat(3_000), "not valid YAML"],
  ["a long list", "a:\n" + "- b\n".repeat(2_000_000), "parts"],
  ["documents", "---\n".repeat(150_000), "documents"],
  ["wrong documents", "a: 1\n---\n".repeat(20_000), "more may be wrong"],
  [
    "a service of many ports",
    JSON.stringify({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "ports" },
      spec: { ports: Array.from({ length: 60_000 }, (_, i) => ({ name: `p${i}`, port: i + 1 })) },
    }),
    "has 60000 frontends",
  ],
  [
    "resources that are there already",
    Array(5_000).fill(JSON.stringify({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: "twice" },
    })).join("\n---\n"),
    "has 4899 more resources that are there already",
  ],
  ["a large file", "# x\n".repeat(5_000_000), "16777216 is the most"],
  ["zeros", new Uint8Array(1_000_000), ""],
];

Deno.test("FileSource says of each hostile file what is wrong, takes over the others and answers meanwhile", async (t) => {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-hostile-" });
  try {
    await using source = new FileSource({
      directory: `${directory}/manifests`,
      stateDirectory: `${directory}/state`,
    });
    const { tables } = source;
    await source.start();
    const until = async (what: () => boolean) => {
      while (!what()) await new Promise((resolve) => setTimeout(resolve, 5));
    };
    for (const [i, [name, text, said]] of HOSTILE.entries()) {
      await t.step(name, async () => {
        const path = `${directory}/manifests/evil.yaml`;
        const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
        Deno.writeFileSync(path, bytes);
        const good = { apiVersion: "v1", kind: "Namespace", metadata: { name: `good-${i}` } };
        Deno.writeTextFileSync(`${directory}/manifests/.draft`, JSON.stringify(good));
        Deno.renameSync(`${directory}/manifests/.draft`, `${directory}/manifests/good.yaml`);
        await until(() => tables.Namespace.has(`good-${i}`));
        const saying = () =>
          tables.problems.rows().filter(({ source, message }) =>
            source === "evil.yaml" && message.includes(said)
          );
        await until(() => saying().length > 0);
        assert(tables.problems.size <= 101);
        Deno.removeSync(path);
        // what it has in force would stay while the next one cannot be read
        await until(() => tables.problems.size === 0 && tables.Namespace.size === 1);
      });
    }
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("FileSource starts with a hostile file, and reads a large one as it would a small one", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-large-" });
  try {
    const manifests = `${directory}/manifests`;
    Deno.mkdirSync(manifests);
    Deno.writeTextFileSync(`${manifests}/evil.yaml`, "- ".repeat(50_000) + "a");
    const pods = (label: string) =>
      Array.from(
        { length: 2_000 },
        (_, i) => `apiVersion: v1\nkind: Pod\nmetadata: {name: p${i}, labels: {app: ${label}}}\n`,
      ).join("---\n");
    Deno.writeTextFileSync(`${manifests}/large.yaml`, pods("one"));
    const options = { directory: manifests, stateDirectory: `${directory}/state` };
    {
      await using source = new FileSource(options);
      await source.start();
      assertEquals(source.tables.problems.size, 1);
      assertEquals(source.tables.Pod.size, 2_000);
      assertEquals(source.tables.Pod.get("default/p7")?.metadata.labels, { app: "one" });
    }
    // its last good version, too
    Deno.writeTextFileSync(`${manifests}/large.yaml`, pods("[]"));
    await using source = new FileSource(options);
    await source.start();
    assertEquals(source.tables.Pod.size, 2_000);
    assert(source.tables.problems.size > 20);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("FileSource starts without a file that takes long and is removed or replaced meanwhile", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-slow-" });
  try {
    // each key is compared with all before it: more than the reader's limit of 30 s
    const slow = Array.from({ length: 60_000 }, (_, i) => `k${i}: 1\n`).join("");
    const sourceOf = (name: string) => {
      const manifests = `${directory}/${name}`;
      Deno.mkdirSync(manifests);
      for (const file of ["gone", "replaced"]) {
        Deno.writeTextFileSync(`${manifests}/${file}.yaml`, slow);
      }
      const stateDirectory = `${directory}/${name}-state`;
      return new FileSource({ directory: manifests, stateDirectory, rescanMs: 50 });
    };
    await using waiting = sourceOf("waiting");
    await using changed = sourceOf("changed");
    const first = Promise.race([
      waiting.start().then(() => "the one that reads to the limit"),
      changed.start().then(() => "the one whose files have changed"),
    ]);
    await new Promise((resolve) => setTimeout(resolve, 200));
    Deno.removeSync(`${directory}/changed/gone.yaml`);
    Deno.writeTextFileSync(`${directory}/changed/.draft`, pod('"spec":{}'));
    Deno.renameSync(`${directory}/changed/.draft`, `${directory}/changed/replaced.yaml`);
    assertEquals(await first, "the one whose files have changed");
    assertEquals(changed.tables.problems.rows(), []);
    assertEquals([...changed.tables.Pod.keys()], ["demo/e"]);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});
