/** Parts of flows that are asked for. */

import type protobuf from "protobufjs";
import type { FlowMessage } from "./flow_message.ts";
import { FilterError } from "./filter/filter_error.ts";
import { messageType } from "./messages.ts";

/** Fields by name; null: all of the field. */
type Tree = Map<string, Tree | null>;

/** A function that keeps what `paths` name, as `source.labels`. Throws FilterError. */
export function fieldMask(
  paths: readonly string[] = [],
): (flow: FlowMessage) => FlowMessage {
  if (paths.length === 0) return (flow) => flow;
  const tree: Tree = new Map();
  for (const path of paths) add(tree, path, messageType("flow.Flow"));
  return (flow) => pick(flow, tree);
}

function add(tree: Tree, path: string, type: protobuf.Type): void {
  let here = tree, of: protobuf.Type | undefined = type;
  const names = path.split(".");
  for (const [i, name] of names.entries()) {
    const field: protobuf.Field | undefined = of?.fields[name];
    if (!field || (field.repeated && i < names.length - 1)) {
      throw new FilterError(`a flow has no field ${path}`);
    }
    const next = here.get(name);
    if (next === null) return;
    if (i === names.length - 1) {
      here.set(name, null);
      return;
    }
    const inner: Tree = next ?? new Map();
    here.set(name, inner);
    here = inner;
    of = isMessage(field.resolvedType) ? field.resolvedType : undefined;
  }
}

function isMessage(type: protobuf.Type | protobuf.Enum | null): type is protobuf.Type {
  return type !== null && "fields" in type;
}

function pick<T extends object>(message: T, tree: Tree): T {
  const picked: Record<string, unknown> = {};
  for (const [name, inner] of tree) {
    const value = (message as Record<string, unknown>)[name];
    if (value === undefined) continue;
    picked[name] = inner === null ? value : pick(value as object, inner);
  }
  return picked as T;
}
