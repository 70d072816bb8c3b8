/** What the server says to lists and watches. Each throws ApiError for what is none of the API's. */

import { isRecord } from "../schema.ts";
import { ApiError, type ApiStatus } from "../client/api_error.ts";
import type { ApiObject } from "./watched_kind.ts";

/** A page of a list. */
export interface Page {
  items: ApiObject[];
  version: string;
  /** What to ask for the next page with; undefined for the last one. */
  next: string | undefined;
}

/** A line of a watch. */
export type WatchEvent =
  | { type: "ADDED" | "MODIFIED" | "DELETED"; object: ApiObject }
  /** `end`: all that there was at the beginning has been said. */
  | { type: "BOOKMARK"; version: string; end: boolean }
  | { type: "ERROR"; status: ApiStatus };

const textOf = (value: unknown) => typeof value === "string" && value !== "" ? value : undefined;

export function pageOf(value: unknown): Page {
  const metadata = isRecord(value) ? value["metadata"] : undefined;
  const version = isRecord(metadata) ? textOf(metadata["resourceVersion"]) : undefined;
  const items = isRecord(value) ? value["items"] ?? [] : undefined;
  if (version === undefined || !Array.isArray(items)) {
    throw new ApiError("strange", "the answer is no list of the API");
  }
  return {
    items: items.map(objectOf),
    version,
    next: textOf((metadata as Record<string, unknown>)["continue"]),
  };
}

const INITIAL_EVENTS_END = "k8s.io/initial-events-end";

export function eventOf(line: string): WatchEvent {
  let event: unknown;
  try {
    event = JSON.parse(line);
  } catch {
    throw new ApiError("strange", "a line of the watch is no JSON");
  }
  const type = isRecord(event) ? event["type"] : undefined;
  const object = isRecord(event) ? event["object"] : undefined;
  switch (type) {
    case "ADDED":
    case "MODIFIED":
    case "DELETED":
      return { type, object: objectOf(object) };
    case "ERROR":
      return { type, status: isRecord(object) ? object as ApiStatus : {} };
    case "BOOKMARK": {
      const metadata = isRecord(object) && isRecord(object["metadata"]) ? object["metadata"] : {};
      const version = textOf(metadata["resourceVersion"]);
      if (version === undefined) throw new ApiError("strange", "a bookmark has no version");
      const annotations = isRecord(metadata["annotations"]) ? metadata["annotations"] : {};
      return { type, version, end: annotations[INITIAL_EVENTS_END] === "true" };
    }
  }
  throw new ApiError("strange", "a line of the watch is none of its events");
}

function objectOf(value: unknown): ApiObject {
  const metadata = isRecord(value) ? value["metadata"] : undefined;
  if (isRecord(metadata) && textOf(metadata["name"]) && textOf(metadata["resourceVersion"])) {
    if (typeof (metadata["namespace"] ?? "") === "string") return value as ApiObject;
  }
  throw new ApiError("strange", "an object has no name, no resourceVersion or no true namespace");
}

/** Whether the version is from before the other: they are numbers that grow, or cannot be compared. */
export function isOlder(version: string, other: string): boolean {
  const digits = /^[0-9]+$/;
  if (!digits.test(version) || !digits.test(other)) return false;
  return BigInt(version) < BigInt(other);
}
