/** Quantities of the Kubernetes API, such as `10M`, `1.5Gi` or `1e9`. */

const QUANTITY = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:([KMGTPE]i)|([numkMGTPE])|[eE]([+-]?\d{1,3}))?$/;
const DECIMAL: Readonly<Record<string, number>> = {
  ...{ n: -9, u: -6, m: -3, k: 3 },
  ...{ M: 6, G: 9, T: 12, P: 15, E: 18 },
};
const BINARY = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/** Its value, rounded up to a whole number; undefined when it is none. */
export function parseQuantity(text: string): number | undefined {
  const found = QUANTITY.exec(text);
  if (!found) return undefined;
  const [, digits, binary, decimal, exponent] = found;
  const factor = binary
    ? 1024 ** (BINARY.indexOf(binary) + 1)
    : 10 ** (decimal ? DECIMAL[decimal]! : Number(exponent ?? 0));
  return Math.ceil(Number(digits) * factor);
}
