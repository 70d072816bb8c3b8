/** Writes values as JSON and YAML in the ways that people, templates and programs write them. */

import type { Maker } from "./shape.ts";

/** Plain texts that are nothing else in any version of YAML. */
const PLAIN = /^[A-Za-z/][A-Za-z0-9._/-]*$/;
const WORDS = /^(y|n|yes|no|on|off|true|false|null|nan|inf)$/i;

/** A value as one YAML or JSON text, and what it stands in. */
export class Writer {
  readonly #maker: Maker;

  constructor(maker: Maker) {
    this.#maker = maker;
  }

  /** A document. Now and then in an odd form, which may be none. */
  document(value: Record<string, unknown>): string {
    const maker = this.#maker;
    if (maker.once(5)) return this.#json(value);
    let text = this.#block(value, 0);
    if (maker.faults > 0 && maker.once(3)) {
      maker.faults--;
      text = this.#spoil(text);
    }
    if (maker.once(12)) text = text.replaceAll("\n", "\r\n");
    if (maker.once(12)) text = `\uFEFF${text}`;
    if (maker.once(12)) text = `# a comment\n${text}# the end\n`;
    if (maker.once(12)) text = `---\n${text}`;
    if (maker.once(20)) text = `%YAML 1.1\n---\n${text}`;
    if (maker.once(12)) {
      text += maker.pick(["---\n", "...\n", "---\n# nothing\n", "\n\n", "--- \n"]);
    }
    return text;
  }

  #json(value: Record<string, unknown>): string {
    const maker = this.#maker;
    let text = JSON.stringify(value, null, maker.pick([0, 1, 2]));
    if (maker.faults > 0 && maker.once(3)) {
      maker.faults--;
      const at = maker.below(text.length);
      text = maker.pick([
        text.slice(0, at),
        text.replace("{", '{"kind": "Pod",'),
        text.replace(/,/, ",,"),
        text.replace(/}$/, ",}"),
        `${text}\n${text}`,
        `${text}}`,
        text.replaceAll('"', "'"),
        text.slice(0, at) + maker.pick(['"', "\t", "\n", " ", "{"]) + text.slice(at),
      ]);
    }
    return text;
  }

  /** The parts of a map or list, one a line. */
  #block(value: unknown, indent: number): string {
    const maker = this.#maker;
    const pad = " ".repeat(indent);
    if (Array.isArray(value)) {
      return value.map((item) => {
        const text = this.#after(item, indent + 2);
        return isFull(item) && text.startsWith("\n") && maker.once(2) && !text.includes("\n\n")
          ? `${pad}- ${text.trimStart()}`
          : `${pad}-${text}`;
      }).join("");
    }
    return Object.entries(value as object).map(([key, item]) => {
      const step = Array.isArray(item) && maker.once(3) ? 0 : 2;
      return `${pad}${this.#scalar(key, true)}:${this.#after(item, indent + step)}`;
    }).join("");
  }

  /** What stands behind a key or a dash, the line's end too. */
  #after(value: unknown, indent: number): string {
    const maker = this.#maker;
    if (isFull(value) && !maker.once(6)) return `\n${this.#block(value, indent)}`;
    if (typeof value === "object" && value !== null) return ` ${this.#flow(value, indent)}\n`;
    const comment = maker.once(20) ? " # why" : "";
    const text = this.#scalar(value, false);
    return `${text === "" ? "" : " "}${text}${comment}\n`;
  }

  /** In brackets; at times over several lines, whatever their indentation. */
  #flow(value: unknown, indent: number): string {
    const maker = this.#maker;
    if (typeof value !== "object" || value === null) {
      return this.#scalar(value, true);
    }
    const parts = Array.isArray(value)
      ? value.map((item) => this.#flow(item, indent))
      : Object.entries(value).map(([key, item]) =>
        `${this.#scalar(key, true)}: ${this.#flow(item, indent)}`
      );
    const [open, close] = Array.isArray(value) ? "[]" : "{}";
    if (parts.length === 0 || !maker.once(6)) return `${open}${parts.join(", ")}${close}`;
    const pad = " ".repeat(maker.pick([indent + 2, indent, Math.max(0, indent - 2), 0]));
    const end = maker.once(4) ? "," : "";
    return `${open}\n${pad}${parts.join(`,\n${pad}`)}${end}\n${pad}${close}`;
  }

  #scalar(value: unknown, inFlow: boolean): string {
    const maker = this.#maker;
    switch (typeof value) {
      case "string":
        return this.#text(value, inFlow);
      case "number":
        return this.#number(value);
      case "boolean":
        return maker.once(6)
          ? maker.pick(value ? ["True", "TRUE", "yes", "on", "y"] : ["False", "no", "off", "n"])
          : String(value);
      default:
        return maker.pick(inFlow ? ["null", "~"] : ["null", "~", "", "Null"]);
    }
  }

  #text(value: string, inFlow: boolean): string {
    const maker = this.#maker;
    const json = JSON.stringify(value);
    if (PLAIN.test(value) && !WORDS.test(value)) {
      return maker.once(5) ? maker.pick([json, `'${value}'`]) : value;
    }
    if (!inFlow && maker.faults > 0 && value !== "" && maker.once(3)) {
      maker.faults--;
      return value.replaceAll("\n", " ");
    }
    if (!inFlow && value.includes(" ") && maker.once(2)) {
      return `'${value.replaceAll("'", "''").replace(/ /, maker.pick(["\n  ", "\n", "\n    "]))}'`;
    }
    return /["\\\n]/.test(value) || maker.once(2) ? json : `'${value}'`;
  }

  #number(value: number): string {
    const maker = this.#maker;
    if (!Number.isInteger(value) || value <= 0 || value > 1e6 || !maker.once(8)) {
      return String(value);
    }
    return maker.pick([
      `0${value.toString(8)}`,
      `0x${value.toString(16)}`,
      `0b${value.toString(2)}`,
      `0o${value.toString(8)}`,
      `+${value}`,
      `${value}.0`,
      String(value).replace(/(?<=\d)(?=\d{2}$)/, "_"),
      `${value}e0`,
      `0${value}`,
      `${value}:00`,
    ]);
  }

  /** Something that people do to a text of YAML. */
  #spoil(text: string): string {
    const maker = this.#maker;
    const lines = text.split("\n");
    const at = maker.below(lines.length);
    const line = lines[at]!;
    switch (maker.below(12)) {
      case 0:
        lines.splice(at, 0, line);
        break;
      case 1:
        lines[at] = ` ${line}`;
        break;
      case 2:
        lines[at] = line.replace(/^ {2}/, "\t");
        break;
      case 3:
        lines[at] = line.replace(": ", ":");
        break;
      case 4:
        lines[at] = `${line}  `;
        break;
      case 5:
        lines[at] = line.replace(/: .*/, ": {{ .Values.x }}");
        break;
      case 6:
        lines[at] = line.replace(/^( *)([^:]*): (.*)$/, "$1$2: &a $3\n$1b: *a");
        break;
      case 7:
        lines[at] = line.replace(/: (.*)$/, ": !!str $1");
        break;
      case 8:
        lines[at] = line.replace(/: (.*)$/, ": |\n$1");
        break;
      case 9:
        return text.slice(0, maker.below(text.length));
      case 10:
        lines[at] = line.replace(/: (.*)$/, ": >-\n                $1");
        break;
      default:
        lines[at] = `${line} ${maker.pick(["]", "}", "'", '"', ": x", "- x", "#", "&", "*", "@"])}`;
    }
    return lines.join("\n");
  }
}

/** Whether a value has parts. */
function isFull(value: unknown): value is object {
  return typeof value === "object" && value !== null && Object.keys(value).length > 0;
}
