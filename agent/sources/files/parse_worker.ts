/** Reads manifests on a thread of its own: a large or hostile file stops nothing else. */

import { type Manifest, type ManifestResource, parseManifest } from "../../kubernetes/manifest.ts";

/** Resources, as JSON, or what ends the answer to a text. */
export type ParseAnswer =
  | { resources: string }
  | { rest: Omit<Manifest, "resources"> };

/** Characters of JSON that the agent reads at once. */
const PART = 128 * 1024;

const scope = self as unknown as {
  onmessage: (event: { data: string }) => void;
  postMessage: (answer: ParseAnswer) => void;
};

scope.onmessage = ({ data }) => {
  const { resources, ...rest } = parseManifest(data);
  for (const part of parts(resources)) scope.postMessage({ resources: part });
  scope.postMessage({ rest });
};

function* parts(resources: readonly ManifestResource[]): Generator<string> {
  let texts: string[] = [], length = 0;
  for (const resource of resources) {
    const text = JSON.stringify(resource);
    texts.push(text);
    length += text.length;
    if (length < PART) continue;
    yield `[${texts.join()}]`;
    texts = [];
    length = 0;
  }
  if (texts.length > 0) yield `[${texts.join()}]`;
}
