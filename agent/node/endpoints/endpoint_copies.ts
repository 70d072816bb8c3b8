/**
 * The endpoints once more, a file each in the run directory, which lives as long as the devices do: a
 * state directory that was lost or spoilt is rebuilt from them.
 */

import { join } from "@std/path";
import { tryParseIp } from "../../../datapath/net/ip.ts";
import { type Endpoint, endpointKey } from "../../api/endpoint.ts";
import { namesIn, removeIfThere } from "../../core/missing_files.ts";
import { writeWhole } from "../../core/whole_file.ts";
import { hostIfnameOf } from "./plumbing.ts";

const FILE = /^plx[0-9a-f]{10}\.json$/;

/** The folder of the copies in a run directory. */
export const COPIES = "endpoints";

/** See the module. */
export class EndpointCopies {
  readonly #directory: string;

  constructor(runDirectory: string) {
    this.#directory = join(runDirectory, COPIES);
  }

  save(endpoint: Endpoint): void {
    Deno.mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    writeWhole(this.#path(endpointKey(endpoint)), JSON.stringify(endpoint));
  }

  remove(key: string): void {
    removeIfThere(this.#path(key));
  }

  /** Those that are whole. */
  all(): Endpoint[] {
    return namesIn(this.#directory).filter((name) => FILE.test(name)).flatMap((name) => {
      const endpoint = parseEndpoint(Deno.readTextFileSync(join(this.#directory, name)));
      return endpoint ? [endpoint] : [];
    });
  }

  #path(key: string): string {
    return join(this.#directory, `${hostIfnameOf(key)}.json`);
  }
}

const TEXTS = [
  ...["containerId", "ifname", "netns", "namespace", "pod"],
  ...["hostIfname", "hostMac", "podMac", "createdAt"],
] as const;
const NUMBERS = ["id", "netnsCookie", "hostIfindex", "mtu"] as const;
const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/;

/** The endpoint that the JSON has; undefined when it is none, or not one that is made here. */
export function parseEndpoint(text: string): Endpoint | undefined {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const whole = TEXTS.every((name) => typeof value[name] === "string") &&
    NUMBERS.every((name) => Number.isSafeInteger(value[name]) && (value[name] as number) >= 0) &&
    ["ipv4", "ipv6"].every((name) =>
      value[name] === undefined ||
      typeof value[name] === "string" && tryParseIp(value[name]) !== undefined
    );
  if (!whole) return undefined;
  const endpoint = value as unknown as Endpoint;
  const { id, hostIfname, hostMac, podMac } = endpoint;
  const ours = id >= 1 && id <= 65_535 && MAC.test(hostMac) && MAC.test(podMac) &&
    hostIfname === hostIfnameOf(endpointKey(endpoint));
  return ours ? endpoint : undefined;
}
