/** What the API needs of an agent. */

import type { LocalPathState } from "../../../datapath/local_path.ts";
import type { PilusMaps } from "../../../datapath/maps/mod.ts";
import type { WireState } from "../../../datapath/wire.ts";
import type { AgentConfig } from "../config.ts";
import type { EndpointManager } from "../endpoints/endpoint_manager.ts";
import type { FlowReader } from "../observer/flow_reader.ts";
import type { Shortages } from "../conntrack/exhaustion.ts";
import type { Model } from "../model.ts";
import type { NodeDevice } from "../../sources/kernel/devices.ts";
import type { ServiceMaps } from "../services/kernel/service_maps.ts";
import type { ReconcilerStatus } from "../../core/reconciler.ts";

export interface AgentState {
  readonly config: AgentConfig;
  readonly startedAt: Date;
  readonly model: Model;
  readonly maps: PilusMaps;
  readonly manager: EndpointManager;
  readonly flows: FlowReader;
  readonly devices: readonly NodeDevice[];
  readonly wires: readonly WireState[];
  readonly localPath: LocalPathState;
  readonly serviceMaps: ServiceMaps;
  readonly shortages: Shortages;
  /** Frontends that a full pilus_maglev has no room for. */
  readonly servicesWithoutTable: number;
  /** Undefined when all is well, else what is not. */
  readonly failure: string | undefined;
  reconcilers(): ReconcilerStatus[];
}
