// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0

/* What libbpf alone does with an object: opens and loads each file that is named. */

#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>

static int quiet(enum libbpf_print_level level, const char *format, va_list values)
{
	(void)level;
	(void)format;
	(void)values;
	return 0;
}

int main(int argc, char **argv)
{
	libbpf_set_print(quiet);
	for (int i = 1; i < argc; i++) {
		struct bpf_object *object = bpf_object__open_file(argv[i], NULL);
		int result = object ? bpf_object__load(object) : -1;

		printf("%d\n", object ? result : 1);
		bpf_object__close(object);
	}
	return 0;
}
