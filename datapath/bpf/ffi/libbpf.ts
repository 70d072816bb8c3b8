/**
 * libbpf's symbols. Importing this module loads the library, so only what uses eBPF imports it.
 * Every call here is in libbpf 1.1 (Debian 12) and later. Calls that give a number return a negative
 * errno on failure; calls that give a pointer return null and set errno.
 */

import { openLibbpf } from "../libbpf.ts";

const SYMBOLS = {
  libbpf_set_print: { parameters: ["pointer"], result: "pointer" },
  libbpf_probe_bpf_helper: { parameters: ["i32", "i32", "pointer"], result: "i32" },

  bpf_object__open_mem: { parameters: ["buffer", "usize", "buffer"], result: "pointer" },
  bpf_object__load: { parameters: ["pointer"], result: "i32" },
  load_elsewhere: {
    name: "bpf_object__load",
    parameters: ["pointer"],
    result: "i32",
    nonblocking: true,
  },
  bpf_object__close: { parameters: ["pointer"], result: "void" },
  bpf_object__btf: { parameters: ["pointer"], result: "pointer" },
  btf__raw_data: { parameters: ["pointer", "buffer"], result: "pointer" },
  bpf_object__next_map: { parameters: ["pointer", "pointer"], result: "pointer" },
  bpf_object__next_program: { parameters: ["pointer", "pointer"], result: "pointer" },
  bpf_object__find_map_by_name: { parameters: ["pointer", "buffer"], result: "pointer" },

  bpf_map__name: { parameters: ["pointer"], result: "pointer" },
  bpf_map__fd: { parameters: ["pointer"], result: "i32" },
  bpf_map__type: { parameters: ["pointer"], result: "i32" },
  bpf_map__key_size: { parameters: ["pointer"], result: "u32" },
  bpf_map__value_size: { parameters: ["pointer"], result: "u32" },
  bpf_map__max_entries: { parameters: ["pointer"], result: "u32" },
  bpf_map__map_flags: { parameters: ["pointer"], result: "u32" },
  bpf_map__set_max_entries: { parameters: ["pointer", "u32"], result: "i32" },
  bpf_map__set_map_flags: { parameters: ["pointer", "u32"], result: "i32" },
  bpf_map__attach_struct_ops: { parameters: ["pointer"], result: "pointer" },
  bpf_map__set_pin_path: { parameters: ["pointer", "buffer"], result: "i32" },
  bpf_map__reuse_fd: { parameters: ["pointer", "i32"], result: "i32" },
  bpf_map__initial_value: { parameters: ["pointer", "buffer"], result: "pointer" },

  bpf_program__name: { parameters: ["pointer"], result: "pointer" },
  bpf_program__section_name: { parameters: ["pointer"], result: "pointer" },
  bpf_program__fd: { parameters: ["pointer"], result: "i32" },
  bpf_program__type: { parameters: ["pointer"], result: "i32" },
  bpf_program__set_type: { parameters: ["pointer", "i32"], result: "i32" },
  bpf_program__set_expected_attach_type: { parameters: ["pointer", "i32"], result: "i32" },
  bpf_program__set_attach_target: { parameters: ["pointer", "i32", "buffer"], result: "i32" },
  bpf_program__expected_attach_type: { parameters: ["pointer"], result: "i32" },
  bpf_program__set_autoload: { parameters: ["pointer", "bool"], result: "i32" },
  bpf_program__autoload: { parameters: ["pointer"], result: "bool" },
  bpf_program__set_log_buf: { parameters: ["pointer", "pointer", "usize"], result: "i32" },

  bpf_map_create: {
    parameters: ["i32", "buffer", "u32", "u32", "u32", "buffer"],
    result: "i32",
  },
  bpf_map_lookup_elem: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  bpf_map_update_elem: { parameters: ["i32", "buffer", "buffer", "u64"], result: "i32" },
  bpf_map_delete_elem: { parameters: ["i32", "buffer"], result: "i32" },
  bpf_map_lookup_and_delete_elem: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  bpf_map_freeze: { parameters: ["i32"], result: "i32" },
  bpf_map_get_next_key: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  bpf_map_lookup_batch: {
    parameters: ["i32", "buffer", "buffer", "buffer", "buffer", "buffer", "buffer"],
    result: "i32",
  },
  bpf_map_update_batch: {
    parameters: ["i32", "buffer", "buffer", "buffer", "buffer"],
    result: "i32",
  },
  bpf_map_delete_batch: { parameters: ["i32", "buffer", "buffer", "buffer"], result: "i32" },
  bpf_map_get_fd_by_id: { parameters: ["u32"], result: "i32" },
  bpf_prog_get_fd_by_id: { parameters: ["u32"], result: "i32" },
  bpf_obj_get_info_by_fd: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  bpf_obj_pin: { parameters: ["i32", "buffer"], result: "i32" },
  bpf_obj_get: { parameters: ["buffer"], result: "i32" },

  bpf_prog_load: {
    parameters: ["i32", "buffer", "buffer", "buffer", "usize", "buffer"],
    result: "i32",
  },
  bpf_prog_test_run_opts: { parameters: ["i32", "pointer"], result: "i32" },
  run_elsewhere: {
    name: "bpf_prog_test_run_opts",
    parameters: ["i32", "pointer"],
    result: "i32",
    nonblocking: true,
  },
  bpf_program__attach_usdt: {
    parameters: ["pointer", "i32", "buffer", "buffer", "buffer", "buffer"],
    result: "pointer",
  },
  bpf_link__fd: { parameters: ["pointer"], result: "i32" },
  bpf_link__disconnect: { parameters: ["pointer"], result: "void" },
  bpf_link__destroy: { parameters: ["pointer"], result: "i32" },
  bpf_link_create: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  bpf_link_update: { parameters: ["i32", "i32", "buffer"], result: "i32" },
  bpf_link_detach: { parameters: ["i32"], result: "i32" },
  bpf_prog_attach: { parameters: ["i32", "i32", "i32", "u32"], result: "i32" },
  bpf_prog_detach2: { parameters: ["i32", "i32", "i32"], result: "i32" },

  bpf_tc_hook_create: { parameters: ["buffer"], result: "i32" },
  bpf_tc_attach: { parameters: ["buffer", "buffer"], result: "i32" },
  bpf_tc_detach: { parameters: ["buffer", "buffer"], result: "i32" },
  bpf_tc_query: { parameters: ["buffer", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** libbpf, silent: what it would print, KernelError says. */
export const libbpf = openLibbpf(SYMBOLS).symbols;

// abs(3) for its print function, which takes the level first: libbpf 1.1 may call it while another thread
// sets it to null
libbpf.libbpf_set_print(Deno.dlopen("libc.so.6", { abs: { type: "pointer" } }).symbols.abs);

/** The C string at `pointer`, or "" for null. */
export function readCstring(pointer: Deno.PointerValue): string {
  return pointer === null ? "" : Deno.UnsafePointerView.getCString(pointer);
}

/** Each element of one of libbpf's `next(object, previous)` lists. */
export function* pointers(
  next: (object: Deno.PointerValue, previous: Deno.PointerValue) => Deno.PointerValue,
  object: Deno.PointerValue,
): Generator<Deno.PointerObject> {
  for (let at = next(object, null); at !== null; at = next(object, at)) yield at;
}
