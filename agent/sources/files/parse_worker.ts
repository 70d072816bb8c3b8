/** Reads manifests on a thread of its own: a large or hostile file stops nothing else. */

import { type Manifest, type ManifestResource, parseManifest } from "../../kubernetes/manifest.ts";

/** A text to be read, or that the next part of the answer may come. */
export type ParseRequest = { text: string } | "next";

/** Resources, as JSON, or what ends the answer to a text. */
export type ParseAnswer =
  | { resources: string }
  | { rest: Omit<Manifest, "resources"> };

/** Characters of JSON that the agent reads at once. */
const PART = 128 * 1024;

const scope = self as unknown as {
  onmessage: (event: { data: ParseRequest }) => void;
  postMessage: (answer: ParseAnswer) => void;
};

let answers: Iterator<ParseAnswer> = Iterator.from([]);

// part by part: the agent would take in what has come already all at once
scope.onmessage = ({ data }) => {
  if (data !== "next") answers = answersTo(data.text);
  const { value, done } = answers.next();
  if (!done) scope.postMessage(value);
};

function* answersTo(text: string): Generator<ParseAnswer> {
  const { resources, ...rest } = parseManifest(text);
  for (const part of parts(resources)) yield { resources: part };
  yield { rest };
}

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
