// Tells of each program that is started: deno run -A ringbuffer.ts [SECONDS]
import { BpfObject, btfCodec, RingBuffer } from "../mod.ts";
import { compile } from "./clang.ts";

const [seconds] = Deno.args;

using object = BpfObject.open(compile("ringbuffer")).load();
using _link = object.attach("exec"); // its section says where
using events = object.map("events");
using ring = new RingBuffer(events);
// what struct event looks like says the object itself
const codec = btfCodec(object.btf, object.btf.find("struct", "event")!.id);
const signal = seconds ? AbortSignal.timeout(Number(seconds) * 1000) : undefined;
console.log("waiting for programs to start");

for await (const event of ring.records(codec, { signal })) console.log(event);
