/** Reads manifests on a thread of its own: a large or hostile file stops nothing else. */

import { type Manifest, type ManifestResource, parseManifest } from "../../kubernetes/manifest.ts";

/** A text to be read, and its number; without the text: one more part of that answer may come. */
export interface ParseRequest {
  number: number;
  text?: string;
}

/** Resources, as JSON, or what ends the answer to a text. */
export type ParseAnswer =
  | { resources: string }
  | { rest: Omit<Manifest, "resources"> };

/** Parts that come without being asked for: the thread works on while the agent does something else. */
const AHEAD = 8;

/** Characters of JSON that the agent reads at once. */
const PART = 128 * 1024;

const scope = self as unknown as {
  onmessage: (event: { data: ParseRequest }) => void;
  postMessage: (answer: ParseAnswer) => void;
};

let current = 0;
let answers: Iterator<ParseAnswer> = Iterator.from([]);

// not without end: the agent would take in what has come already all at once
scope.onmessage = ({ data: { number, text } }) => {
  if (text !== undefined) answers = answersTo(text);
  else if (number !== current) return;
  current = number;
  for (let parts = text === undefined ? 1 : AHEAD; parts > 0; parts--) {
    const { value, done } = answers.next();
    if (done) return;
    scope.postMessage(value);
  }
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
