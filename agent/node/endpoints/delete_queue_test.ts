import { assertEquals } from "@std/assert";
import { drainDeleteQueue } from "./delete_queue.ts";

const HOUR_S = 3600;
const deletion = (containerId: string) => JSON.stringify({ containerId, ifname: "eth0" });

/** A file of the queue, and whether it is there after a pass. */
const FILES: [what: string, name: string, make: (path: string) => void, stays: boolean][] = [
  ["what is done", "a@eth0.json", (path) => Deno.writeTextFileSync(path, deletion("a")), false],
  ["what fails", "b@eth0.json", (path) => Deno.writeTextFileSync(path, deletion("b")), true],
  // EIO; descriptors that have run out are alike
  ["what no read gets", "c@eth0.json", (path) => Deno.symlinkSync("/proc/self/mem", path), true],
  ["no JSON", "d@eth0.json", (path) => Deno.writeTextFileSync(path, "{"), false],
  ["null", "e@eth0.json", (path) => Deno.writeTextFileSync(path, "null"), false],
  ["other JSON", "f@eth0.json", (path) => Deno.writeTextFileSync(path, '{"ifname":1}'), false],
  ["a directory", "g@eth0.json", (path) => Deno.mkdirSync(`${path}/x`, { recursive: true }), false],
  ["a draft", ".0123", (path) => Deno.writeTextFileSync(path, "{"), true],
  ["a draft that a plugin left when it was killed", ".4567", (path) => {
    Deno.writeTextFileSync(path, "{");
    const then = Date.now() / 1000 - 2 * HOUR_S;
    Deno.utimeSync(path, then, then);
  }, false],
];

for (const [what, name, make, stays] of FILES) {
  Deno.test(`queued deletions: ${what} ${stays ? "stays" : "goes"}`, async () => {
    const state = Deno.makeTempDirSync();
    try {
      Deno.mkdirSync(`${state}/delete-queue`);
      make(`${state}/delete-queue/${name}`);
      await drainDeleteQueue(state, (containerId) => {
        return containerId === "b" ? Promise.reject(new Error("busy")) : Promise.resolve();
      });
      const left = [...Deno.readDirSync(`${state}/delete-queue`)].map((entry) => entry.name);
      assertEquals(left, stays ? [name] : []);
    } finally {
      Deno.removeSync(state, { recursive: true });
    }
  });
}
