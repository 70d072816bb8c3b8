import { assert, assertEquals, assertMatch } from "@std/assert";
import { during, pause, type Place, place, until } from "./_test_place.ts";

const policy = (name: string, rules = "ingress: [{from: [{podSelector: {}}]}]") => `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: ${name}, namespace: demo}
spec:
  podSelector: {}
  ${rules}
`;
const two = `${policy("web")}---\n${policy("api")}`;
const inForce = (p: Place) => () => p.policies().join();

const pipe = (path: string) => new Deno.Command("mkfifo", { args: [path] }).outputSync();

/** What a file may become that is not to be read, each in its own file. */
const FAULTS: Record<string, (p: Place, name: string) => void> = {
  broken: (p, name) => p.write(name, "kind: {"),
  cut: (p, name) => p.write(name, policy("cut", "ingress: [{from: ")),
  wrong: (p, name) => p.write(name, policy("wrong", "ingress: {}")),
  large: (p, name) => p.write(name, "# x\n".repeat(5_000_000)),
  pipe: (p, name) => pipe(p.path(name)),
  circle: (p, name) => Deno.symlinkSync(name, p.path(name)),
  nowhere: (p, name) => Deno.symlinkSync("nothing-there", p.path(name)),
};

Deno.test("a ManifestFile that cannot be read keeps what was in force, whatever was there just before", async (t) => {
  const names = Object.keys(FAULTS);
  const removeAll = (p: Place) => {
    for (const name of names) p.remove(`${name}.yaml`);
  };
  const before: Record<string, (p: Place) => Promise<void> | void> = {
    "the good version": removeAll,
    async "no file"(p) {
      removeAll(p);
      await pause(200);
    },
    async "an empty file"(p) {
      for (const name of names) p.write(`${name}.yaml`, "");
      await pause(200);
      removeAll(p);
    },
    async "an agent that was stopped"(p) {
      removeAll(p);
      await p.restart();
    },
  };
  for (const [name, make] of Object.entries(before)) {
    await t.step(name, async () => {
      await using p = place({ rescanMs: 200 });
      for (const name of names) p.rename(`${name}.yaml`, policy(name));
      await p.source.start();
      const all = inForce(p)();
      assertEquals(all.split(",").length, names.length);
      await make(p);
      for (const [name, fault] of Object.entries(FAULTS)) fault(p, `${name}.yaml`);
      if (name.includes("agent")) await p.source.start();
      assertEquals(await during(1500, inForce(p)), [all]);
      for (const name of names) {
        const problem = p.problems().find((problem) => problem.startsWith(`${name}.yaml:`));
        assertMatch(problem ?? "", /\(the last good version of the file stays in force\)$/, name);
      }
      // over one more restart, and then a good version
      await p.restart();
      await p.source.start();
      assertEquals(inForce(p)(), all);
      removeAll(p);
      for (const name of names) p.rename(`${name}.yaml`, policy(`${name}-new`));
      await until(() => inForce(p)() === names.map((name) => `demo/${name}-new`).sort().join());
      await until(() => p.problems().length === 0);
    });
  }
});

Deno.test("a ManifestFile in the making is not in force, whether it loses, changes or adds something", async () => {
  await using p = place();
  p.rename("a.yaml", policy("web", "ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]"));
  await p.source.start();
  const rules = () =>
    JSON.stringify(p.tables.NetworkPolicy.rows().map(({ spec }) => spec?.ingress));
  const [old] = await during(0, rules).then(() => [rules()]);
  // each beginning of it is a policy: the first allows nothing, the second all, the third all ports
  const whole = policy("web", "ingress:\n  - from: [{podSelector: {}}]\n    ports: [{port: 90}]");
  for (const end of ["", "  ingress:", "  - from:", "    ports:"]) {
    const part = end === "" ? "" : whole.slice(0, whole.indexOf(end));
    p.write("a.yaml", part);
    p.write("b.yaml", part.replace("web", "new"));
    assertEquals(await during(700, rules), [old], JSON.stringify(part));
  }
  p.write("a.yaml", whole);
  p.write("b.yaml", whole.replace("web", "new"));
  const [first, ...others] = await during(1500, rules);
  assertEquals(first, old);
  const seen = [first, ...others].join("\n");
  assert(!/"ports":\[\]/.test(seen) && seen.endsWith("]"), seen);
  assertEquals(inForce(p)(), "demo/new,demo/web");
  assertEquals(p.problems(), []);
});

Deno.test("a ManifestFile counts when it has been still, or was renamed into place", async () => {
  await using p = place();
  p.rename("a.yaml", two);
  await p.source.start();
  const keys = inForce(p);
  assertEquals(keys(), "demo/api,demo/web");

  // written in place, in pieces
  for (const part of ["", "---\n", policy("web"), two]) {
    p.write("a.yaml", part);
    assertEquals(await during(150, keys), ["demo/api,demo/web"], JSON.stringify(part));
  }
  // taken away and made anew
  p.remove("a.yaml");
  assertEquals(await during(150, keys), ["demo/api,demo/web"]);
  p.write("a.yaml", two);
  assertEquals(await during(1200, keys), ["demo/api,demo/web"]);

  p.write("a.yaml", policy("web"));
  await until(() => keys() === "demo/web");
  p.rename("a.yaml", "");
  await until(() => keys() === "");

  // a restart in the middle of it
  p.rename("a.yaml", two);
  await until(() => p.policies().length === 2);
  await p.restart();
  p.write("a.yaml", "");
  const starting = p.source.start();
  await pause(300);
  p.write("a.yaml", two);
  await starting;
  assertEquals(keys(), "demo/api,demo/web");
  await p.restart();
  p.write("a.yaml", "");
  await p.source.start();
  assertEquals(keys(), "", "it was still");

  // what stood there for good is the last good version
  await p.restart();
  p.write("a.yaml", "kind: {");
  await p.source.start();
  assertEquals(keys(), "");
});

Deno.test("a ManifestFile that is written after it was renamed into place is in the making", async () => {
  await using p = place();
  p.rename("a.yaml", two);
  await p.source.start();
  // at once, and when the notice of the rename has come and the agent has something else to do
  for (const wait of [0, 8]) {
    p.rename("a.yaml", `${two}# ${wait}\n`);
    await pause(wait);
    for (const end = Date.now() + 4 * wait; Date.now() < end;);
    p.write("a.yaml", policy("web"));
    assertEquals(await during(700, inForce(p)), ["demo/api,demo/web"], `${wait}`);
    p.write("a.yaml", two);
    assertEquals(await during(1500, inForce(p)), ["demo/api,demo/web"], `${wait}`);
  }
});

Deno.test("a ManifestFile that makes room for a directory is gone, and what is in that counts", async () => {
  await using p = place();
  p.rename("a.yaml", policy("web"));
  await p.source.start();
  p.remove("a.yaml");
  Deno.mkdirSync(p.path("a.yaml"));
  await until(() => inForce(p)() === "");
  p.write("a.yaml/b.yaml", policy("api"));
  await until(() => inForce(p)() === "demo/api");
  assertEquals(p.problems(), []);
});

Deno.test("a ManifestFile that is written again and again is a problem until it comes to rest", async () => {
  await using p = place();
  p.rename("a.yaml", two);
  p.rename("b.yaml", policy("other"));
  await p.source.start();
  let round = 0;
  const writer = setInterval(() => p.write("a.yaml", `${policy("web")}# ${++round}\n`), 300);
  await until(() => p.problems().length > 0);
  assertMatch(
    p.problems().join(),
    /^a.yaml:1: is written again and again, .* stays in force\)$/,
  );
  p.rename("b.yaml", policy("another"));
  await until(() => inForce(p)() === "demo/another,demo/api,demo/web");
  clearInterval(writer);
  await until(() => inForce(p)() === "demo/another,demo/web");
  await until(() => p.problems().length === 0);
  // written anew as it is, it is at rest
  const same = setInterval(() => p.write("a.yaml", policy("web")), 300);
  await until(() => inForce(p)() === "demo/another,demo/web");
  p.write("a.yaml", two);
  clearInterval(same);
  await until(() => inForce(p)() === "demo/another,demo/api,demo/web");
});

Deno.test("a ManifestFile that is away when the agent starts is in force until it has been away for a while", async () => {
  await using p = place();
  p.rename("a.yaml", policy("web"));
  p.rename("b.yaml", policy("api"));
  await p.source.start();
  await p.restart();
  p.remove("a.yaml");
  p.remove("b.yaml");
  await p.source.start();
  assertEquals(inForce(p)(), "demo/api,demo/web");
  await pause(300);
  p.write("a.yaml", "kind: {");
  await until(() => inForce(p)() === "demo/web");
  await p.restart();
  await p.source.start();
  assertEquals(inForce(p)(), "demo/web");
});

Deno.test("FileSource.start() ends while a large file is replaced faster than it is read", async () => {
  const pods = (round: number) =>
    Array.from(
      { length: 3000 },
      (_, i) => `apiVersion: v1\nkind: Pod\nmetadata: {name: p${i}, labels: {round: "${round}"}}\n`,
    )
      .join("---\n");
  await using p = place();
  p.rename("a.yaml", pods(0));
  p.rename("b.yaml", policy("web"));
  let round = 0;
  const replace = () => p.rename("a.yaml", pods(++round));
  let writer = setInterval(replace, 100);
  // nothing of it is known
  await p.source.start();
  clearInterval(writer);
  assertEquals(inForce(p)(), "demo/web");
  await until(() => p.tables.Pod.get("default/p7")?.metadata.labels["round"] === `${round}`);
  // what was in force before is
  await p.restart();
  writer = setInterval(replace, 100);
  replace();
  await p.source.start();
  clearInterval(writer);
  assertEquals(p.tables.Pod.size, 3000);
  await until(() => p.tables.Pod.get("default/p7")?.metadata.labels["round"] === `${round}`);
  await until(() => p.problems().length === 0);
});

Deno.test("a resource that moves to a file in the making is in force all the time", async () => {
  await using p = place();
  p.rename("a.yaml", two);
  p.rename("large.yaml", two.replaceAll("demo", "large") + "# x\n".repeat(200_000));
  await p.source.start();
  const moving = during(3500, inForce(p));
  Deno.renameSync(p.path("large.yaml"), p.path("moved.yaml"));
  p.write("a.yaml", policy("web"));
  for (const comment of ["", "# a\n", "# b\n"]) {
    await pause(500);
    p.write("b.yaml", policy("api") + comment);
  }
  assertEquals(await moving, ["demo/api,demo/web,large/api,large/web"]);
  assertEquals(p.problems(), []);
  p.remove("b.yaml");
  await until(() => inForce(p)() === "demo/web,large/api,large/web");
});

Deno.test("a directory that cannot be read is a problem of its own, and keeps what was in force", async () => {
  await using p = place({ rescanMs: 200 });
  const folders = ["sub", "sub/deeper", "linked"];
  Deno.mkdirSync(p.path("sub/deeper"), { recursive: true });
  Deno.mkdirSync(p.path(".target"));
  Deno.symlinkSync(".target", p.path("linked"));
  for (const folder of folders) p.write(`${folder}/x.yaml`, policy(folder.replace("/", "-")));
  p.write("b.yaml", policy("other"));
  await p.source.start();
  const all = "demo/linked,demo/other,demo/sub,demo/sub-deeper";
  await until(() => inForce(p)() === all);
  // root may read all: what cannot be followed is as good
  Deno.renameSync(p.path("sub"), p.path(".sub"));
  Deno.symlinkSync("sub", p.path("sub"));
  Deno.renameSync(p.path(".target"), p.path(".away"));
  p.rename("b.yaml", policy("changed"));
  const changed = "demo/changed,demo/linked,demo/sub,demo/sub-deeper";
  await until(() => inForce(p)() === changed && p.problems().length === 2);
  assertEquals(await during(1500, inForce(p)), [changed]);
  const sources = () => p.tables.problems.rows().map(({ source }) => source).sort();
  assertEquals(sources(), ["linked", "sub"]);
  // over a restart
  await p.restart();
  await p.source.start();
  assertEquals(await during(1500, inForce(p)), [changed]);
  assertEquals(sources(), ["linked", "sub"]);
  // it is back, with less in it
  p.remove("sub");
  Deno.removeSync(p.path(".sub/deeper/x.yaml"));
  Deno.renameSync(p.path(".sub"), p.path("sub"));
  Deno.renameSync(p.path(".away"), p.path(".target"));
  await until(() => inForce(p)() === "demo/changed,demo/linked,demo/sub");
  await until(() => p.problems().length === 0);
});

Deno.test("a FileSource goes on where somebody makes pipes, and ends", async () => {
  await using p = place({ rescanMs: 200 });
  Deno.mkdirSync(p.path(".hidden"));
  await p.source.start();
  const away = p.path(".hidden/away");
  for (const name of ["a.yaml", "b", ".c", ".hidden/d.yaml"]) pipe(p.path(name));
  Deno.symlinkSync(".hidden/d.yaml", p.path("linked.yaml"));
  p.rename("x.yaml", policy("web"));
  await until(() => inForce(p)() === "demo/web");
  await until(() => p.problems().length === 2);
  p.remove("a.yaml");
  Deno.renameSync(p.path(".c"), away);
  await until(() => p.problems().length === 1);
  await p.restart();
  pipe(p.path("e.yaml"));
  await p.source.start();
  await until(() => p.problems().length === 2);
  assertEquals(inForce(p)(), "demo/web");
});
