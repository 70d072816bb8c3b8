/** How etcd is reached, from a file as Cilium has it: endpoints, and certificates beside it. */

import { dirname, resolve } from "@std/path";
import { parse } from "@std/yaml";
import { isRecord } from "../../kubernetes/schema.ts";
import {
  AccessError,
  checkedPem,
  checkedServer,
  readAccessFile,
} from "../../kubernetes/client/access.ts";

/** What a request needs. */
export interface EtcdAccess {
  /** Base URLs of members of one cluster. */
  endpoints: readonly string[];
  caCerts?: string;
  certificate?: { cert: string; key: string };
}

const KNOWN = ["endpoints", "trusted-ca-file", "cert-file", "key-file"];

/** Reads the file, and those that it names, anew each time: certificates are rotated. */
export function etcdAccessReader(path: string): () => EtcdAccess {
  return () => {
    let config: unknown;
    const text = readAccessFile(path, "the configuration of etcd");
    try {
      config = parse(text);
    } catch {
      throw new AccessError(`${path} is no YAML`);
    }
    if (!isRecord(config)) throw new AccessError(`${path} must be a map with endpoints`);
    const unknown = Object.keys(config).find((name) => !KNOWN.includes(name));
    if (unknown) {
      throw new AccessError(`${path} has ${unknown}: known are ${KNOWN.join(", ")}`);
    }
    const { endpoints } = config;
    if (!Array.isArray(endpoints) || endpoints.length === 0) {
      throw new AccessError(
        `${path}: endpoints is missing: a list such as [https://192.0.2.1:2379]`,
      );
    }
    const read = (name: string, kind: RegExp) => {
      const file = config[name];
      if (typeof file !== "string" || file === "") return undefined;
      const at = resolve(dirname(path), file);
      return checkedPem(readAccessFile(at, `${name} of ${path}`), kind, at);
    };
    const caCerts = read("trusted-ca-file", /CERTIFICATE/);
    const cert = read("cert-file", /CERTIFICATE/);
    const key = read("key-file", /[A-Z ]*PRIVATE KEY/);
    if ((cert === undefined) !== (key === undefined)) {
      throw new AccessError(`${path} must have both of cert-file and key-file`);
    }
    return {
      endpoints: endpoints.map((each) => checkedServer(String(each), `${path}: an endpoint`)),
      ...(caCerts ? { caCerts } : {}),
      ...(cert && key ? { certificate: { cert, key } } : {}),
    };
  };
}
