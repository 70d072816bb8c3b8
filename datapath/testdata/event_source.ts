/** Events in bulk, sent as the programs send theirs. */

import { compileBpf } from "../../scripts/compile_bpf.ts";
import { type BpfMap, BpfObject, type BpfProgram, TypedMap } from "../bpf/mod.ts";
import { maps } from "../maps/generated.ts";
import { skbContext } from "./node.ts";

let object: Uint8Array<ArrayBuffer> | undefined;

export class EventSource implements Disposable {
  readonly events: BpfMap;
  readonly lost: TypedMap<number, bigint[]>;
  readonly #program: BpfProgram;
  readonly #packet = new Uint8Array(74);

  /** @param pinned where a node has its maps. @default {maps of its own} */
  constructor(pinned?: string) {
    object ??= compileBpf(new URL("events.bpf.c", import.meta.url).pathname);
    using opened = BpfObject.open(object, { name: "events" });
    if (pinned !== undefined) opened.pinMaps(pinned);
    opened.load();
    this.#program = opened.program("emit");
    this.events = opened.map("pilus_events");
    this.lost = new TypedMap(opened.map("pilus_lost"), maps.pilus_lost);
  }

  /** Sends events, some in the microsecond. Those that find no room are counted in `lost`. */
  send(count: number, type: number): void {
    this.#program.testRun({ data: this.#packet, ctx: skbContext(0, type), repeat: count });
  }

  [Symbol.dispose](): void {
    for (const owned of [this.#program, this.events, this.lost]) owned[Symbol.dispose]();
  }
}
