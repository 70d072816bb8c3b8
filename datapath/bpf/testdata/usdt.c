// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0

/* A program with a probe, pilus:line, whose argument is the length of each line that it reads. */

#include <stdio.h>
#include <string.h>

/* As DTRACE_PROBE1 of sys/sdt.h, which is not installed everywhere. */
#define PROBE(provider, name, value)                                                               \
	__asm__ volatile("990: nop\n"                                                              \
			 ".pushsection .note.stapsdt,\"\",\"note\"\n"                              \
			 ".balign 4\n"                                                             \
			 ".4byte 992f-991f, 994f-993f, 3\n"                                        \
			 "991: .asciz \"stapsdt\"\n"                                               \
			 "992: .balign 4\n"                                                        \
			 "993: .8byte 990b\n"                                                      \
			 ".8byte _.stapsdt.base\n"                                                 \
			 ".8byte 0\n"                                                              \
			 ".asciz \"" provider "\"\n"                                               \
			 ".asciz \"" name "\"\n"                                                   \
			 ".asciz \"-8@%0\"\n"                                                      \
			 "994: .balign 4\n"                                                        \
			 ".popsection\n"                                                           \
			 ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"   \
			 ".weak _.stapsdt.base\n"                                                  \
			 ".hidden _.stapsdt.base\n"                                                \
			 "_.stapsdt.base: .space 1\n"                                              \
			 ".size _.stapsdt.base, 1\n"                                               \
			 ".popsection\n"                                                           \
			 :                                                                         \
			 : "r"(value))

int main(void)
{
	char line[100];

	while (fgets(line, sizeof(line), stdin)) {
		long length = strcspn(line, "\n");

		PROBE("pilus", "line", length);
		puts(line);
		fflush(stdout);
	}
	return 0;
}
