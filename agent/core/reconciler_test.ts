import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import {
  type ApplyResult,
  ReconcileError,
  Reconciler,
  type ReconcilerOptions,
  type Target,
} from "./reconciler.ts";
import { settled } from "./schedule.ts";
import { Table } from "./table.ts";

const delay = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

interface Row {
  id: string;
  value: number;
}

/** A map in memory that refuses the rows it is told to refuse. */
class MemoryTarget implements Target<Row> {
  content = new Map<string, Row>();
  refuse = new Map<string, string>();
  broken: string | undefined;
  latencyMs = 0;
  calls: { upserts: string[]; deletes: string[] }[] = [];

  read(): Row[] {
    return [...this.content.values()];
  }

  async apply(upserts: Row[], deletes: Row[]): Promise<ApplyResult<Row>> {
    const ids = (rows: Row[]) => rows.map((row) => row.id);
    this.calls.push({ upserts: ids(upserts), deletes: ids(deletes) });
    if (this.latencyMs > 0) await delay(this.latencyMs);
    if (this.broken !== undefined) throw new Error(this.broken);
    const failed: ApplyResult<Row>["failed"] = [];
    const attempt = (row: Row, act: () => void) => {
      const reason = this.refuse.get(row.id);
      if (reason === undefined) act();
      else failed.push({ row, error: new Error(reason) });
    };
    for (const row of deletes) attempt(row, () => this.content.delete(row.id));
    for (const row of upserts) attempt(row, () => this.content.set(row.id, row));
    return { failed };
  }
}

function setup(
  options: Partial<Pick<ReconcilerOptions<Row>, "batchSize" | "repairIntervalMs" | "earlier">> = {},
) {
  const desired = new Table<Row>({ name: "desired", key: (row) => row.id });
  const target = new MemoryTarget();
  const reconciler = new Reconciler({
    name: "test",
    desired,
    target,
    minBackoffMs: 5,
    maxBackoffMs: 20,
    ...options,
  });
  return { desired, target, reconciler };
}

async function until(what: () => boolean): Promise<void> {
  for (let i = 0; i < 400 && !what(); i++) await delay(5);
  assertEquals(what(), true);
}

Deno.test("Reconciler.start() keeps what fits, changes what differs and removes what is not desired", async () => {
  const { desired, target, reconciler } = setup();
  target.content = new Map(
    [{ id: "same", value: 1 }, { id: "other", value: 1 }, { id: "stray", value: 1 }]
      .map((row) => [row.id, row]),
  );
  desired.replace([{ id: "same", value: 1 }, { id: "other", value: 2 }, { id: "new", value: 3 }]);
  await using _ = reconciler;
  await reconciler.start();
  assertEquals(target.calls, [{ upserts: ["other", "new"], deletes: ["stray"] }]);
  assertEquals([...target.content.keys()].sort(), ["new", "other", "same"]);
  assertEquals(reconciler.status().repairs, 0);
  assertEquals(reconciler.status().pending, 0);
  assertInstanceOf(reconciler.status().lastSync, Date);
});

Deno.test("Reconciler applies a burst in batches of the given size", async () => {
  const { desired, target, reconciler } = setup({ batchSize: 4 });
  await using _ = reconciler;
  await reconciler.start();
  for (let i = 0; i < 10; i++) desired.set({ id: `${i}`, value: i });
  await reconciler.flush();
  assertEquals(target.calls.map((call) => call.upserts.length), [4, 4, 2]);
  assertEquals(target.content.size, 10);
});

Deno.test("Reconciler.flush() waits for its rows alone and names the ones that failed", async () => {
  const { desired, target, reconciler } = setup();
  await using _ = reconciler;
  await reconciler.start();
  target.refuse.set("bad", "E2BIG: the map is full");
  desired.set({ id: "bad", value: 1 });
  desired.set({ id: "good", value: 1 });
  await reconciler.flush(["good"]);
  const error = await assertRejects(() => reconciler.flush(), ReconcileError);
  assertEquals(error.message, "Cannot apply test row bad: E2BIG: the map is full");
  assertEquals(reconciler.rowStatus("good"), { state: "done" });
  assertEquals(reconciler.rowStatus("bad")?.state, "error");
  assertEquals(reconciler.status().errors, 1);
  assertEquals(reconciler.status().lastError?.key, "bad");
});

Deno.test("Reconciler tries a failed row again with back-off until it succeeds", async () => {
  const { desired, target, reconciler } = setup();
  await using _ = reconciler;
  await reconciler.start();
  target.refuse.set("a", "busy");
  desired.set({ id: "a", value: 1 });
  await until(() => target.calls.length >= 3);
  target.refuse.clear();
  await until(() => target.content.has("a"));
  assertEquals(reconciler.status().errors, 0);
  assertEquals(reconciler.rowStatus("a"), { state: "done" });
});

Deno.test("Reconciler tries a failed deletion again", async () => {
  const { desired, target, reconciler } = setup();
  await using _ = reconciler;
  desired.set({ id: "a", value: 1 });
  await reconciler.start();
  target.refuse.set("a", "busy");
  desired.delete("a");
  await until(() => reconciler.status().errors === 1);
  assertEquals(reconciler.status().rows, 0);
  target.refuse.clear();
  await until(() => target.content.size === 0);
  assertEquals(reconciler.rowStatus("a"), undefined);
});

Deno.test("Reconciler survives a target that throws", async () => {
  const { desired, target, reconciler } = setup();
  await using _ = reconciler;
  await reconciler.start();
  target.broken = "the map is gone";
  desired.set({ id: "a", value: 1 });
  desired.set({ id: "b", value: 1 });
  await assertRejects(
    () => reconciler.flush(),
    ReconcileError,
    "row a: the map is gone (and 1 more)",
  );
  target.broken = undefined;
  await reconciler.flush();
  assertEquals(target.content.size, 2);
});

Deno.test("Reconciler applies the newest row when it changes during a batch", async () => {
  const { desired, target, reconciler } = setup();
  await using _ = reconciler;
  await reconciler.start();
  target.latencyMs = 10;
  desired.set({ id: "a", value: 1 });
  await settled();
  await delay(2);
  desired.set({ id: "a", value: 2 });
  await reconciler.flush();
  assertEquals(target.content.get("a")?.value, 2);
});

Deno.test("Reconciler repairs rows that were changed, lost or added behind its back, and counts them", async () => {
  const { desired, target, reconciler } = setup({ repairIntervalMs: 20 });
  await using _ = reconciler;
  desired.replace([{ id: "a", value: 1 }, { id: "b", value: 2 }]);
  await reconciler.start();
  target.content.set("a", { id: "a", value: 9 });
  target.content.delete("b");
  target.content.set("c", { id: "c", value: 3 });
  await until(() => reconciler.status().repairs === 3);
  await reconciler.flush();
  assertEquals(target.read().sort((a, b) => a.value - b.value), desired.rows());
});

Deno.test("Reconciler says since when, until when and where the kernel was not as desired", async () => {
  const { desired, target, reconciler } = setup();
  await using _ = reconciler;
  const rows = Array.from({ length: 20 }, (_, i) => ({ id: `row ${i}`, value: i }));
  desired.replace(rows);
  await reconciler.start();
  const before = Date.now();
  await reconciler.repair();
  assertEquals(reconciler.status().lapses, []);
  target.content.delete("row 7");
  target.refuse.set("row 7", "not now");
  await reconciler.repair();
  const [open] = reconciler.status().lapses;
  assertEquals([open!.rows, open!.count, open!.until], [["row 7"], 1, undefined]);
  // the comparison that found it right, not the one that found it gone
  assert(before <= open!.since.getTime() && open!.since <= reconciler.status().lastError!.at);
  target.refuse.clear();
  await reconciler.flush();
  const [closed] = reconciler.status().lapses;
  assertEquals(closed, { ...open!, until: reconciler.status().lastSync });

  for (let i = 0; i < 20; i++) {
    target.content.clear();
    await reconciler.repair();
  }
  const { lapses } = reconciler.status();
  assertEquals([lapses.length, lapses.at(-1)!.rows.length, lapses.at(-1)!.count], [16, 8, 20]);
});

Deno.test("Reconciler says what was changed before it was there, of what is desired still", async () => {
  const at = new Date(Date.now() - 60_000);
  await using stack = new AsyncDisposableStack();
  const { desired, reconciler } = setup({ earlier: { at, changed: ["a", "gone"] } });
  stack.use(reconciler);
  for (const id of ["a", "b"]) desired.set({ id, value: 1 });
  await reconciler.start();
  const { lapses, repairs } = reconciler.status();
  assertEquals(lapses.map(({ since, rows, count }) => [since, rows, count]), [[at, ["a"], 1]]);
  assert(lapses[0]!.until! > at);
  assertEquals(repairs, 1);
  const calm = setup({ earlier: { at, changed: ["gone"] } }).reconciler;
  stack.use(calm);
  await calm.start();
  assertEquals(calm.status().lapses, []);
});

Deno.test("Reconciler.stop() leaves the kernel alone from then on", async () => {
  const { desired, target, reconciler } = setup({ repairIntervalMs: 5 });
  desired.set({ id: "a", value: 1 });
  await reconciler.start();
  await reconciler.stop();
  target.content.clear();
  desired.set({ id: "b", value: 1 });
  await delay(30);
  assertEquals(target.content.size, 0);
  await assertRejects(() => reconciler.flush(), TypeError, "it is not running");
});
