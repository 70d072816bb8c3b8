import { assertStringIncludes, assertThrows } from "@std/assert";
import { Log } from "../core/log.ts";
import type { AgentConfig } from "./config.ts";
import { clusterStore } from "./resource_sources.ts";

Deno.test("clusterStore() says what a store needs", () => {
  const directory = Deno.makeTempDirSync();
  try {
    let files = 0;
    const file = (text: string) => {
      const path = `${directory}/etcd-${++files}.yaml`;
      Deno.writeTextFileSync(path, text);
      return path;
    };
    const cases: [clusterStore: string, etcdConfig: string, message: string][] = [
      ["kubernetes", "", "needs an API server: give --kubernetes"],
      ["etcd", "", "needs --etcd-config"],
      ["etcd", `${directory}/none`, "the configuration of etcd, is not there"],
      ["etcd", file("{"), "is no YAML"],
      ["etcd", file("[]"), "must be a map"],
      ["etcd", file("endpoints: []"), "endpoints is missing"],
      ["etcd", file("endpoints: [192.0.2.1]"), "must be a URL"],
      ["etcd", file("endpoint: []"), "has endpoint: known are endpoints"],
      ["etcd", file("{endpoints: ['http://192.0.2.1'], key-file: etcd-1.yaml}"), "is not in PEM"],
    ];
    for (const [clusterStoreName, etcdConfig, message] of cases) {
      const config = {
        ...{ clusterStore: clusterStoreName, etcdConfig, manifests: directory, nodeName: "a" },
      } as unknown as AgentConfig;
      const error = assertThrows(() => clusterStore(config, undefined, new Log("error"))) as Error;
      assertStringIncludes(error.message, message);
    }
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});
