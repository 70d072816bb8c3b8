/** Access by a kubeconfig: certificates and tokens, in the file or in others that it names. */

import { dirname, resolve } from "@std/path";
import { parse } from "@std/yaml";
import {
  type Access,
  AccessError,
  type AccessReader,
  checkedAccess,
  checkedPem,
  checkedServer,
  readAccessFile,
} from "./access.ts";

type Fields = Record<string, unknown>;

/** Fields that a user or a cluster may have, and pilus does not do. */
const NOT_DONE: Readonly<Record<string, string>> = {
  exec: "programs that give credentials are not run: give the user a token or a certificate",
  "auth-provider": "auth-provider is not done: give the user a token or a certificate",
  username: "API servers take no passwords any more: give the user a token or a certificate",
  as: "pilus acts for nobody else: give the user credentials of its own",
  "insecure-skip-tls-verify": "the server's certificate is always checked: give " +
    "certificate-authority-data",
  "tls-server-name": "the name in the server's certificate must be that of its URL",
};

/** The access that the current context of the file gives. `servers` replace the cluster's. */
export function kubeconfigReader(path: string, servers: readonly string[] = []): AccessReader {
  return () => {
    const text = readAccessFile(path, "the kubeconfig");
    return checkedAccess(accessOf(text, path, servers));
  };
}

function accessOf(text: string, path: string, servers: readonly string[]): Access {
  const config = fieldsOf(parsed(text, path), path);
  const current = textOf(config, "current-context");
  if (!current) throw new AccessError(`${path}: current-context is missing, and must be there`);
  const context = entry(config, "contexts", "context", current, path);
  const cluster = entry(config, "clusters", "cluster", textOf(context, "cluster"), path);
  const user = entry(config, "users", "user", textOf(context, "user"), path);
  const origin = `kubeconfig ${path}, context ${current}`;
  for (const [name, reason] of Object.entries(NOT_DONE)) {
    if (user[name] || cluster[name]) throw new AccessError(`${origin} has ${name}: ${reason}`);
  }
  const read = (fields: Fields, name: string, inFile = name) => {
    const data = textOf(fields, `${name}-data`);
    if (data) return decoded(data, `${origin}: ${name}-data`);
    const file = textOf(fields, inFile);
    return file && readAccessFile(resolve(dirname(path), file), `${inFile} of the kubeconfig`);
  };
  const caCerts = read(cluster, "certificate-authority");
  const cert = read(user, "client-certificate");
  const key = read(user, "client-key");
  if ((cert === undefined) !== (key === undefined)) {
    throw new AccessError(`${origin} must have both of client-certificate and client-key`);
  }
  const tokenFile = textOf(user, "tokenFile");
  const token = tokenFile
    ? readAccessFile(resolve(dirname(path), tokenFile), "tokenFile of the kubeconfig").trim()
    : textOf(user, "token");
  const server = textOf(cluster, "server");
  const proxy = textOf(cluster, "proxy-url");
  return {
    servers: servers.length > 0 ? servers : [checkedServer(server ?? "", `${origin}: server`)],
    origin,
    ...(caCerts !== undefined
      ? { caCerts: checkedPem(caCerts, /CERTIFICATE/, `${origin}: certificate-authority`) }
      : {}),
    ...(cert !== undefined && key !== undefined
      ? {
        certificate: {
          cert: checkedPem(cert, /CERTIFICATE/, `${origin}: client-certificate`),
          key: checkedPem(key, /[A-Z ]*PRIVATE KEY/, `${origin}: client-key`),
        },
      }
      : {}),
    ...(token ? { token } : {}),
    ...(proxy ? { proxy: checkedServer(proxy, `${origin}: proxy-url`) } : {}),
  };
}

function parsed(text: string, path: string): unknown {
  try {
    return parse(text);
  } catch {
    // what the parser says would quote the file, and with it secrets
    throw new AccessError(`${path} is no YAML`);
  }
}

function fieldsOf(value: unknown, where: string): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  throw new AccessError(`${where} must be a map of a kubeconfig's fields`);
}

function textOf(fields: Fields, name: string): string | undefined {
  const value = fields[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** The named one of a list. */
function entry(
  config: Fields,
  list: string,
  field: string,
  name: string | undefined,
  path: string,
): Fields {
  const items = Array.isArray(config[list]) ? config[list] as unknown[] : [];
  const found = items.map((item) => fieldsOf(item, `${path}: ${list}`))
    .find((item) => item["name"] === name);
  if (!found) throw new AccessError(`${path}: ${list} has none of the name ${name ?? "(none)"}`);
  return fieldsOf(found[field] ?? {}, `${path}: ${list}`);
}

function decoded(base64: string, what: string): string {
  try {
    return atob(base64);
  } catch {
    throw new AccessError(`${what} is not base64`);
  }
}
