// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* What the runtime gets: the answer on stdout, or an error in the specification's form. */
#pragma once

#include <errno.h>
#include "text.h"

/* The specification's codes. */
enum cni_error {
	CNI_INCOMPATIBLE_VERSION = 1,
	CNI_INVALID_ENVIRONMENT = 4,
	CNI_IO_FAILURE = 5,
	CNI_UNDECODABLE = 6,
	CNI_INVALID_CONFIG = 7,
	CNI_TRY_AGAIN_LATER = 11,
	CNI_NOT_AVAILABLE = 50,
	CNI_FAILED = 100,
};

static const char *const cni_versions[] = {CNI_VERSIONS};
#define VERSION_COUNT (sizeof(cni_versions) / sizeof(cni_versions[0]))

/* That of the configuration, if it is known; else the newest. */
static const char *cni_version = NULL;

static inline const char *answer_version(void)
{
	return cni_version ? cni_version : cni_versions[VERSION_COUNT - 1];
}

/* Prints the text with a line's end, and ends the process. */
static inline _Noreturn void finish(struct text *text, int status)
{
	text_add(text, "\n");
	for (size_t sent = 0; sent < text->length;) {
		ssize_t length = write(STDOUT_FILENO, text->bytes + sent, text->length - sent);

		if (length < 0 && errno == EINTR)
			continue;
		if (length <= 0)
			_exit(1);
		sent += (size_t)length;
	}
	_exit(status);
}

/* Ends the process with an error whose message is a JSON string already. */
static inline _Noreturn void fail_quoted(enum cni_error code, struct span message,
					 const char *details)
{
	struct text text = {};

	text_add(&text, "{\"cniVersion\":\"");
	text_add(&text, answer_version());
	text_add(&text, "\",\"code\":");
	text_add_number(&text, code);
	text_add(&text, ",\"msg\":");
	text_add_span(&text, message);
	if (details) {
		text_add(&text, ",\"details\":");
		text_add_json(&text, span_of(details));
	}
	text_add(&text, "}");
	finish(&text, 1);
}

/* Ends the process with an error. `details` may be NULL. */
static inline _Noreturn void fail(enum cni_error code, struct text *message, const char *details)
{
	struct text quoted = {};

	text_add_json(&quoted, (struct span){message->bytes, message->bytes + message->length});
	fail_quoted(code, (struct span){quoted.bytes, quoted.bytes + quoted.length}, details);
}
