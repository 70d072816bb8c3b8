/** `pilus manifest` */

import { stringify } from "@std/yaml";
import { installManifest } from "../agent/node/install/manifest.ts";
import { print } from "./output.ts";

/** Prints what `kubectl apply` takes. */
export function printManifest(): void {
  print(
    installManifest().map((object) => stringify(object, { useAnchors: false })).join("---\n")
      .trimEnd(),
  );
}
