/**
 * docs/demo.svg: what a terminal shows of a run of `pilus demo`. Run as root after a build:
 * `deno run -A scripts/demo_picture.ts`.
 */

const ROOT = new URL("../", import.meta.url).pathname;

/** The terminal's columns; longer lines go on in the next row. */
const COLUMNS = 112;
const CHARACTER = { width: 8, height: 18, size: 13.3 };
const MARGIN = 16;
const COLORS = { background: "#14181f", text: "#d7dde6" };

/** Attributes of text by the number that sets them (ECMA-48, SGR). */
const STYLES: Record<string, string> = {
  "1": 'font-weight="bold"',
  "2": 'opacity="0.6"',
  "31": 'fill="#ff7b72"',
  "32": 'fill="#7ee787"',
  "33": 'fill="#e3b341"',
  "36": 'fill="#79c0ff"',
};

/** What ends each of them. */
const RESETS: Record<string, readonly string[]> = {
  "0": Object.keys(STYLES),
  "22": ["1", "2"],
  "39": ["31", "32", "33", "36"],
};

/** A sequence that sets attributes, or a character. */
const PARTS = new RegExp("\x1b\\[([\\d;]*)m|.", "gsu");

interface Character {
  text: string;
  style: string;
}

/** The rows that a terminal shows of a program's output. Throws RangeError at a sequence it does not know. */
function* rows(output: string, columns: number): Generator<Character[]> {
  const active = new Set<string>();
  for (const line of output.replaceAll("\r\n", "\n").trimEnd().split("\n")) {
    let row: Character[] = [];
    for (const [part, sgr] of line.matchAll(PARTS)) {
      if (sgr === undefined) {
        if (row.length === columns) {
          yield row;
          row = [];
        }
        row.push({ text: part, style: [...active].sort().map((n) => STYLES[n]).join(" ") });
        continue;
      }
      for (const number of sgr.split(";").map((n) => n || "0")) {
        if (STYLES[number] !== undefined) active.add(number);
        else if (RESETS[number]) { for (const ended of RESETS[number]) active.delete(ended); }
        else throw new RangeError(`Cannot draw the escape sequence ${JSON.stringify(part)}`);
      }
    }
    yield row;
  }
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** One element a stretch of the same style; its length is given, so that columns stand in every font. */
function drawRow(row: readonly Character[], y: number): string {
  const parts: string[] = [];
  for (let from = 0; from < row.length;) {
    let to = from;
    while (to < row.length && row[to]!.style === row[from]!.style) to++;
    const text = row.slice(from, to).map((c) => c.text).join("");
    const inner = text.trim();
    if (inner !== "") {
      const x = MARGIN + (from + text.indexOf(inner)) * CHARACTER.width;
      const width = [...inner].length * CHARACTER.width;
      const style = row[from]!.style;
      parts.push(
        `<text x="${x}" y="${y}" textLength="${width}"${style && ` ${style}`}>${
          escapeXml(inner)
        }</text>`,
      );
    }
    from = to;
  }
  return parts.join("");
}

/** The picture of a terminal with a program's output, colors included. */
export function terminalPicture(output: string, columns = COLUMNS): string {
  const lines = [...rows(output, columns)];
  const width = 2 * MARGIN + columns * CHARACTER.width;
  const height = 2 * MARGIN + lines.length * CHARACTER.height;
  const drawn = lines.map((row, i) => drawRow(row, MARGIN + (i + 0.75) * CHARACTER.height));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">`,
    `<rect width="100%" height="100%" rx="8" fill="${COLORS.background}"/>`,
    `<g xml:space="preserve" style="white-space:pre" font-family="ui-monospace,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="${CHARACTER.size}" fill="${COLORS.text}">`,
    ...drawn.filter((row) => row !== ""),
    "</g>",
    "</svg>",
    "",
  ].join("\n");
}

if (import.meta.main) {
  const command = "dist/pilus demo";
  // Colors are for terminals: script(1) gives the program one.
  const { code, stdout } = new Deno.Command("script", {
    args: ["--quiet", "--return", "--command", command, "/dev/null"],
    cwd: ROOT,
    env: { TERM: "xterm-256color" },
    stdin: "null",
    stderr: "inherit",
  }).outputSync();
  const output = new TextDecoder().decode(stdout);
  if (code !== 0) {
    console.error(output);
    Deno.exit(1);
  }
  Deno.writeTextFileSync(
    `${ROOT}docs/demo.svg`,
    terminalPicture(`\x1b[2m$\x1b[22m ${command}\n${output}`),
  );
}
