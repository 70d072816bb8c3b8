/** Answers of `GetFlows` as they are printed. */

import { printable } from "../../agent/core/printable.ts";
import { messageJson } from "../../agent/hubble/flow_json.ts";
import type { GetFlowsResponse } from "../../agent/hubble/flow_message.ts";
import {
  clockText,
  compactText,
  dictText,
  type FlowTextOptions,
  tableCells,
} from "../../agent/hubble/flow_text.ts";

/** Options for {@linkcode FlowPrinter}. */
export interface FlowPrinterOptions extends FlowTextOptions {
  format: "compact" | "dict" | "json" | "jsonpb" | "table" | "tab";
  /** Whether rows of a table are printed at once, as more come. */
  follow: boolean;
  /** Lines of flows, and lines about the stream. */
  print: (line: string) => void;
  tell: (line: string) => void;
}

const DICT_SEPARATOR = "------------";

/** What to do about lost events, by their source. */
const LOST = [
  ["UNKNOWN_LOST_EVENT_SOURCE", ""],
  ["PERF_EVENT_RING_BUFFER", ": the programs found no room; --map-size pilus_events makes some"],
  ["OBSERVER_EVENTS_QUEUE", ""],
  ["HUBBLE_RING_BUFFER", ": flows came faster than they were read; filter more narrowly"],
] as const;

/** By the number of a `NodeState`. */
const STATES = ["in an unknown state", "connected", "unavailable", "gone", "in error"];

/** See the module. */
export class FlowPrinter {
  readonly #options: FlowPrinterOptions;
  readonly #rows: string[][] = [];
  #widths: number[] = [];
  /** Flows that were printed. */
  flows = 0;

  constructor(options: FlowPrinterOptions) {
    this.#options = options;
  }

  write(response: GetFlowsResponse): void {
    const { flow, lost_events, node_status, node_name = "", time } = response;
    const { format, print, tell } = this.#options;
    if (flow) this.flows++;
    if (format === "json" || format === "jsonpb") {
      return print(JSON.stringify(messageJson("observer.GetFlowsResponse", response)));
    }
    if (lost_events) {
      const { source, num_events_lost } = lost_events;
      const [name, advice] = LOST[source] ?? LOST[0];
      tell(`EVENTS LOST: ${name} ${num_events_lost}${advice}`);
    }
    if (node_status) {
      const { state_change = 0, node_names = [], message } = node_status;
      tell(printable(
        `${clockText(time)} [${node_name}]: ${STATES[state_change] ?? state_change}: ` +
          node_names.join(", ") + (message ? `: ${message}` : ""),
      ));
    }
    if (!flow) return;
    if (format === "compact") return print(compactText(flow, this.#options));
    if (format === "dict") {
      if (this.flows > 1) print(DICT_SEPARATOR);
      return print(dictText(flow, this.#options));
    }
    if (this.flows === 1) this.#row(tableCells(undefined, this.#options));
    this.#row(tableCells(flow, this.#options));
  }

  #row(cells: string[]): void {
    this.#widths = cells.map((cell, i) => Math.max(cell.length, this.#widths[i] ?? 0));
    if (this.#options.follow) this.#options.print(this.#line(cells));
    else this.#rows.push(cells);
  }

  #line(cells: readonly string[]): string {
    return cells.map((cell, i) => cell.padEnd(this.#widths[i]!)).join("   ").trimEnd();
  }

  /** Prints what is left. */
  end(): void {
    for (const cells of this.#rows) this.#options.print(this.#line(cells));
    this.#rows.length = 0;
  }
}
