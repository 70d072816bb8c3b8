/**
 * Calls every method of every class with wrong and right values, in any order, after dispose, too.
 * Usage: odd_calls.ts FROM TO [THREADS]
 */

import * as library from "../mod.ts";
import { compile } from "./build.ts";

const { BpfObject, BpfMap, BpfProgram, RingBuffer, TypedMap, u32, u64 } = library;
const worker = "postMessage" in globalThis;
const [from = 0, to = 0, threads = 0] = Deno.args.map(Number);
const files = ["sample", "variables", "plain"].map((name) => compile(name));
const encoder = new TextEncoder();

/** What would end the test itself, wait for long or touch what is not its own. */
const NOT: readonly string[] = [
  "constructor",
  "wait",
  "waitSync",
  "records",
  "pin",
  "pinMap",
  "pinMaps",
];

let state = 0;
function random(limit: number): number {
  state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x6d2b79f5 | 0;
  return ((state ^ (state >>> 13)) >>> 0) % limit;
}

const VALUES: readonly (() => unknown)[] = [
  () => undefined,
  () => null,
  () => 0,
  () => -1,
  () => 1e300,
  () => NaN,
  () => 1n << 64n,
  () => -1n,
  () => "",
  () => "\0",
  () => "counters",
  () => "flows",
  () => "tc_verdict",
  () => "x".repeat(5000),
  () => new Uint8Array(0),
  () => new Uint8Array(4),
  () => new Uint8Array(8),
  () => new Uint8Array(1 << 16),
  () => new Uint8Array(new ArrayBuffer(64), 3, 4),
  () => ({}),
  () => ({ data: new Uint8Array(60) }),
  () => ({ data: new Uint8Array(1), ctx: new Uint8Array(1), repeat: 3, dataOutSize: -1 }),
  () => ({ fd: -1 }),
  () => ({ key: u32, value: u64 }),
  () => [],
  () => [["a", "b"]],
  () => Symbol("odd"),
  () => () => {
    throw new Error("in a callback");
  },
  () => things[random(things.length)],
  () => () => call(),
];

let things: unknown[] = [];
let depth = 0;

function call(): unknown {
  if (depth > 4) return undefined;
  depth++;
  try {
    const thing = things[random(things.length)] as Record<PropertyKey, unknown>;
    const names = methods(thing);
    const name = names[random(names.length)]!;
    const values = Array.from({ length: random(4) }, () => VALUES[random(VALUES.length)]!());
    const member = thing[name];
    const result = typeof member === "function" ? member.apply(thing, values) : member;
    if (result instanceof Promise) return result.catch(() => {});
    // a few steps of what is listed
    if (result && typeof (result as Iterator<unknown>).next === "function") {
      for (let i = 0; i < 3; i++) (result as Iterator<unknown>).next();
    }
    if (typeof result === "object" && result !== null && Symbol.dispose in result) {
      things.push(result);
    }
    return result;
  } catch {
    return undefined; // that it is thrown, and the process lives, is what this is about
  } finally {
    depth--;
  }
}

function methods(thing: object): PropertyKey[] {
  const names: PropertyKey[] = [];
  for (let at = thing; at && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    names.push(...Reflect.ownKeys(at).filter((name) => !NOT.includes(String(name))));
  }
  return names;
}

async function round(number: number): Promise<void> {
  Deno.stdout.writeSync(encoder.encode(`${number}\n`));
  state = number;
  random(1);
  const object = BpfObject.open(files[number % files.length]!);
  things = [object, object.btf];
  for (let i = random(10); i > 0; i--) await call();
  try {
    object.load();
    for (const name of object.programNames) things.push(object.program(name));
    for (const name of object.mapNames) {
      const map = object.map(name);
      things.push(map, new TypedMap(map, { key: u32, value: u64 }));
    }
    things.push(new RingBuffer(object.map("events")));
    things.push(object.variable(object.variableNames[0]!));
    things.push(BpfMap.byId(object.map("counters").id), BpfProgram.byId(object.program("pass").id));
  } catch (error) {
    if (!(error instanceof Error)) throw error;
  }
  for (let i = 0; i < 200; i++) await call();
  for (const thing of things) {
    const { [Symbol.dispose]: dispose } = thing as Partial<Disposable>;
    dispose?.call(thing);
    dispose?.call(thing);
  }
  for (let i = 0; i < 50; i++) await call();
}

if (!worker && threads > 0) {
  await Promise.all(Array.from({ length: threads }, () => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const thread = new Worker(import.meta.url, { type: "module" });
    thread.onmessage = () => resolve();
    thread.onerror = (event) => reject(new Error(event.message));
    return promise.finally(() => thread.terminate());
  }));
} else {
  for (let number = from; number < to; number++) await round(number);
  if (worker) (globalThis as unknown as { postMessage(message: unknown): void }).postMessage(0);
}
