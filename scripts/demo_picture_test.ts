import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { terminalPicture } from "./demo_picture.ts";

Deno.test("terminalPicture() puts text into columns, with the colors that are in force", () => {
  const picture = terminalPicture("\x1b[1m\x1b[36m==>\x1b[39m\x1b[22m a <b> & c\r\n  d\n", 80);
  assertEquals(picture.match(/<text.*<\/text>/g), [
    '<text x="16" y="29.5" textLength="24" font-weight="bold" fill="#79c0ff">==&gt;</text>' +
    '<text x="48" y="29.5" textLength="72">a &lt;b&gt; &amp; c</text>',
    '<text x="32" y="47.5" textLength="8">d</text>',
  ]);
  assertStringIncludes(picture, 'viewBox="0 0 672 68"');
});

Deno.test("terminalPicture() goes on in the next row where the terminal ends, its style too", () => {
  assertEquals(terminalPicture("\x1b[32mabcde\x1b[0m", 3).match(/y="[\d.]+".*?<\/text>/g), [
    'y="29.5" textLength="24" fill="#7ee787">abc</text>',
    'y="47.5" textLength="16" fill="#7ee787">de</text>',
  ]);
});

Deno.test("terminalPicture() refuses sequences that it does not know", () => {
  assertThrows(() => terminalPicture("\x1b[45mx"), RangeError, "[45m");
});
