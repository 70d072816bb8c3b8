/** What is known of the bytes of records that become flows when they are read. */

import type { Flow } from "./flow.ts";
import type { FlowFilter } from "./flow_filter.ts";

export interface RecordFormat {
  /** Bytes that are kept of a record, from its beginning; a multiple of 4. */
  readonly size: number;
  /** Types of the flows that records become. */
  readonly types: readonly number[];
  decode(view: DataView, offset: number): Flow;
  /** Milliseconds since 1970. */
  time(view: DataView, offset: number): number;
  /** A function on bytes that passes a record exactly when `flowFilter` passes its flow. */
  filter(filter: FlowFilter): (view: DataView, offset: number) => boolean;
}
