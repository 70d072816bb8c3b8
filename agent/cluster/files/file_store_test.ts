import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { endpoint, type TestCluster, testStore, until } from "../testdata/store_contract.ts";
import { FileStore } from "./file_store.ts";

interface SharedDirectory extends TestCluster {
  directory: string;
  join(node: string): FileStore;
}

function shared(): SharedDirectory {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-store-" });
  return {
    directory,
    join: (node) => new FileStore({ directory, node }),
    [Symbol.asyncDispose]: () => Deno.remove(directory, { recursive: true }),
  };
}

testStore("FileStore", shared);

Deno.test("FileStore keeps what a file said while it is spoilt, and says what is wrong", async () => {
  await using cluster = shared();
  await using store = cluster.join("node-a");
  store.endpoints.apply([endpoint("web", 5)], []);
  await store.start();
  const path = ".pilus/endpoints/node-a/endpoints-1.json";
  Deno.writeTextFileSync(join(cluster.directory, path), '{"apiVersion": "cilium.io/v2"}');
  await until(() => store.problems.size > 0);
  assertEquals(store.addresses.size, 2);
  const [problem] = store.problems.rows();
  assertEquals([problem!.source, problem!.message], [path, "kind is missing, and must be there"]);
  // a row of the reconciler's: it is made anew
  assertEquals(store.endpoints.read(), []);
  await until(() => store.problems.size === 0);
  assertEquals(store.addresses.size, 0);
});

Deno.test("FileStore reads fields that it does not know", async () => {
  await using cluster = shared();
  await using store = cluster.join("node-a");
  store.endpoints.apply([endpoint("web", 5)], []);
  const path = join(cluster.directory, ".pilus/endpoints/node-a/endpoints-1.json");
  const list = JSON.parse(Deno.readTextFileSync(path));
  list.items[0].spec = { later: true };
  Deno.writeTextFileSync(path, JSON.stringify(list));
  await store.start();
  assertEquals(store.problems.rows(), []);
  assertEquals(store.addresses.size, 2);
});

Deno.test("FileStore publishes some endpoints a file, and fills files that have room", async () => {
  await using cluster = shared();
  const folder = join(cluster.directory, ".pilus/endpoints/node-a");
  const files = () => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  const rows = Array.from({ length: 150 }, (_, i) => endpoint(`web-${i}`, i));
  {
    await using store = cluster.join("node-a");
    assertEquals(store.endpoints.apply(rows, []).failed, []);
    assertEquals(files(), ["endpoints-1.json", "endpoints-2.json", "endpoints-3.json"]);
    await store.start();
    assertEquals(store.addresses.size, 300);
  }
  await using store = cluster.join("node-a");
  assertEquals(store.endpoints.read().length, 150);
  // all of the second file, and one of the first
  assertEquals(store.endpoints.apply([], [rows[0]!, ...rows.slice(64, 128)]).failed, []);
  assertEquals(files(), ["endpoints-1.json", "endpoints-3.json"]);
  store.endpoints.apply([endpoint("new", 200)], []);
  const { items } = JSON.parse(Deno.readTextFileSync(join(folder, "endpoints-1.json")));
  assertEquals([items.length, items.at(-1).metadata.name], [64, "new"]);
  await store.start();
  assertEquals(store.addresses.size, 2 * 86);
  const wrong = store.endpoints.apply([{ ...endpoint("x", 1), pod: "../x" }, endpoint("y", 2)], []);
  assertEquals(wrong.failed.map(({ row }) => row.pod), ["../x"]);
});

Deno.test("FileStore names what it cannot write, and writes it when it can", async () => {
  await using cluster = shared();
  await using store = cluster.join("node-a");
  const path = join(cluster.directory, ".pilus/endpoints/node-a/endpoints-1.json");
  store.endpoints.apply([endpoint("a", 1)], []);
  const before = Deno.readTextFileSync(path);
  Deno.removeSync(path);
  Deno.mkdirSync(join(path, "occupied"), { recursive: true });
  const { failed } = store.endpoints.apply([endpoint("b", 2)], [endpoint("a", 1)]);
  assertEquals(failed.map(({ row }) => row.pod).sort(), ["a", "b"]);
  Deno.removeSync(path, { recursive: true });
  Deno.writeTextFileSync(path, before);
  assertEquals(store.endpoints.read().map(({ pod }) => pod), ["a"]);
  assertEquals(store.endpoints.apply([endpoint("b", 2)], [endpoint("a", 1)]).failed, []);
  assertEquals(store.endpoints.read().map(({ pod }) => pod), ["b"]);
});

Deno.test("FileStore keeps an address that two files have until both have gone", async () => {
  await using cluster = shared();
  await using store = cluster.join("node-a");
  await using other = cluster.join("node-b");
  store.endpoints.apply([endpoint("web", 5)], []);
  other.endpoints.apply([endpoint("web", 5)], []);
  await store.start();
  assertEquals(store.addresses.size, 2);
  store.endpoints.apply([], [endpoint("web", 5)]);
  await store.scan();
  assertEquals(store.addresses.size, 2);
  other.endpoints.apply([], [endpoint("web", 5)]);
  await store.scan();
  assertEquals(store.addresses.size, 0);
});

Deno.test("FileStore writes through no link, and leaves files that are not its own", async () => {
  await using cluster = shared();
  const { directory } = cluster;
  await using store = cluster.join("node-a");
  const victim = join(directory, "victim");
  const folder = join(directory, ".pilus/endpoints/node-a");
  Deno.writeTextFileSync(victim, "untouched");
  Deno.symlinkSync(victim, join(folder, "endpoints-1.json"));
  Deno.writeTextFileSync(join(folder, "README"), "not ours");
  store.endpoints.read();
  assertEquals(store.endpoints.apply([endpoint("web", 5)], []).failed, []);
  assertEquals(Deno.readTextFileSync(victim), "untouched");
  assertEquals(Deno.lstatSync(join(folder, "endpoints-1.json")).isSymlink, false);
  assertEquals(Deno.readTextFileSync(join(folder, "README")), "not ours");

  // a folder that is a link to another place
  Deno.removeSync(folder, { recursive: true });
  Deno.mkdirSync(join(directory, "elsewhere"));
  Deno.symlinkSync(join(directory, "elsewhere"), folder);
  for (
    const act of [
      () => store.endpoints.read(),
      () => store.endpoints.apply([endpoint("web", 5)], []),
    ]
  ) {
    const { message } = assertThrows(act, Error);
    assertStringIncludes(message, "is no directory; remove it");
  }
  assertEquals([...Deno.readDirSync(join(directory, "elsewhere"))], []);
  assertThrows(() => cluster.join("../.."), TypeError);
});

Deno.test("FileStore leaves no draft of an identity", async () => {
  await using cluster = shared();
  await using store = cluster.join("node-a");
  await store.start();
  await Promise.all(["a", "b"].map((app) => store.allocate({ "k8s:app": app })));
  const names = [...Deno.readDirSync(join(cluster.directory, ".pilus/identities"))].map((f) =>
    f.name
  );
  assertEquals(names.filter((name) => name.startsWith(".")), []);
});
