import { assertEquals } from "@std/assert";
import { AttachmentRecord, ATTACHMENTS, type RecordedAttachment } from "./attachment_record.ts";

Deno.test("AttachmentRecord: of a file that is spoilt nothing is read, and it is written anew", () => {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-record-" });
  try {
    const path = `${directory}/${ATTACHMENTS}`;
    const row: RecordedAttachment = { hook: "tc", device: "eth0", ifindex: 7, count: 2 };
    const at = new Date(1_700_000_000_000);
    new AttachmentRecord(directory).keep([row], at);
    assertEquals(new AttachmentRecord(directory).earlier, { at, rows: [row] });
    const { boot } = JSON.parse(Deno.readTextFileSync(path));
    const spoilt: unknown[] = [
      null,
      [],
      { boot },
      { boot: "another", rows: [row] },
      ...[null, 7, {}, { ...row, hook: "x" }, { ...row, device: "../tc" }, { ...row, device: {} }]
        .map((bad) => ({ boot, rows: [row, bad] })),
      ...[{ ...row, ifindex: "7" }, { ...row, count: null }]
        .map((bad) => ({ boot, rows: [bad] })),
    ];
    for (const content of spoilt) {
      Deno.writeTextFileSync(path, JSON.stringify(content));
      const record = new AttachmentRecord(directory);
      assertEquals(record.earlier, undefined, JSON.stringify(content));
      record.keep([row], at);
      assertEquals(new AttachmentRecord(directory).earlier?.rows, [row]);
    }
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});
