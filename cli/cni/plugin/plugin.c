// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The CNI plugin that the agent installs: what the runtime gives goes to the agent, and its answer
 * back. cli/cni/cni.ts is the same for the program itself; the tests run both.
 *
 * The build gives the constants of agent/api: CNI_VERSIONS, CNI_COMMANDS (names with milliseconds),
 * CNI_VARIABLES, MAX_CONFIG_BYTES, DEFAULT_SOCKET and DEFAULT_STATE_DIR.
 */
#include "agent_call.h"
#include "delete_queue.h"
#include "failure.h"
#include "json.h"

struct command {
	const char *name;
	int timeout_ms;
};

static const struct command commands[] = {CNI_COMMANDS};
static const char *const variables[] = {CNI_VARIABLES};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value ? value : "";
}

static const struct command *find_command(void)
{
	const char *name = variable("CNI_COMMAND");
	struct text message = {};

	for (size_t i = 0; i < COUNT(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	text_add(&message, "Environment variable CNI_COMMAND is ");
	text_add(&message, *name ? "\"" : "missing");
	text_add_shown(&message, span_of(name));
	text_add(&message, *name ? "\": pilus knows " : ": pilus knows ");
	for (size_t i = 0; i < COUNT(commands); i++) {
		text_add(&message, i ? ", " : "");
		text_add(&message, commands[i].name);
	}
	fail(CNI_INVALID_ENVIRONMENT, &message, NULL);
}

static _Noreturn void fail_undecodable(const char *reason)
{
	struct text message = {};

	text_add(&message, "Cannot decode the configuration on stdin: ");
	text_add(&message, reason);
	fail(CNI_UNDECODABLE, &message, NULL);
}

static _Noreturn void fail_late(void)
{
	struct text message = {};

	text_add(&message,
		 "Neither the runtime's configuration nor the agent's answer came in time");
	fail(CNI_TRY_AGAIN_LATER, &message, NULL);
}

static struct span read_stdin(int64_t deadline)
{
	static struct text input;

	for (;;) {
		char *room = text_room(&input, 64 << 10);
		ssize_t length;

		if (!await_ready(STDIN_FILENO, POLLIN, deadline))
			fail_late();
		length = read(STDIN_FILENO, room, 64 << 10);
		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			fail_undecodable(strerror(errno));
		if (length == 0)
			break;
		input.length += (size_t)length;
		if (input.length > MAX_CONFIG_BYTES) {
			struct text reason = {};

			text_add(&reason, "it has more than ");
			text_add_number(&reason, MAX_CONFIG_BYTES);
			text_add(&reason, " bytes");
			fail_undecodable(text_string(&reason));
		}
	}
	/* a byte order mark is no part of the text */
	if (input.length >= 3 && memcmp(input.bytes, "\xef\xbb\xbf", 3) == 0)
		return (struct span){input.bytes + 3, input.bytes + input.length};
	return (struct span){input.bytes, input.bytes + input.length};
}

static struct span decode_config(struct span input)
{
	struct span config;

	if (!json_document(input, &config))
		fail_undecodable("it is not JSON");
	if (*config.begin != '{') {
		struct text reason = {};

		text_add(&reason, "not an object: ");
		text_add_shown(&reason, config);
		fail_undecodable(text_string(&reason));
	}
	return config;
}

/* Whether the value is a string, and its text. */
static bool string_value(struct span value, struct text *text)
{
	if (*value.begin != '"')
		return false;
	json_add_string(text, value);
	return true;
}

static void find_version(struct span config)
{
	struct span value;
	struct text text = {};

	if (!json_member(config, "cniVersion", &value) || !string_value(value, &text))
		return;
	for (size_t i = 0; i < VERSION_COUNT; i++)
		if (strcmp(text_string(&text), cni_versions[i]) == 0)
			cni_version = cni_versions[i];
}

/* Whether the path is absolute and without steps up. */
static bool is_path(struct text *text)
{
	const char *path = text_string(text);

	if (path[0] != '/' || strlen(path) != text->length || text->length > 4096)
		return false;
	for (const char *at = strstr(path, "/.."); at; at = strstr(at + 1, "/.."))
		if (at[3] == '/' || at[3] == '\0')
			return false;
	return true;
}

static const char *config_path(struct span config, const char *name, const char *otherwise)
{
	struct span value;
	struct text text = {}, message = {};

	if (!json_member(config, name, &value))
		return otherwise;
	if (string_value(value, &text) && is_path(&text))
		return text_string(&text);
	text_add(&message, "Invalid configuration: ");
	text_add(&message, name);
	text_add(&message, " must be an absolute path without \"..\", and is ");
	text_add_shown(&message, value);
	fail(CNI_INVALID_CONFIG, &message, NULL);
}

static _Noreturn void print_versions(void)
{
	struct text text = {};

	text_add(&text, "{\"cniVersion\":\"");
	text_add(&text, answer_version());
	text_add(&text, "\",\"supportedVersions\":[");
	for (size_t i = 0; i < VERSION_COUNT; i++) {
		text_add(&text, i ? ",\"" : "\"");
		text_add(&text, cni_versions[i]);
		text_add(&text, "\"");
	}
	text_add(&text, "]}");
	finish(&text, 0);
}

static bool is_container(const char *name)
{
	static const char first[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
			  rest[] =
			      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

	return strspn(name, first) > 0 && name[strspn(name, rest)] == '\0' && strlen(name) <= 200;
}

static bool is_ifname(const char *name)
{
	for (const char *at = name; *at; at++)
		if ((unsigned char)*at <= ' ' || *at == 0x7f || *at == '/' || *at == ':')
			return false;
	return strlen(name) <= 15 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static const char *checked_variable(const char *name, bool (*check)(const char *))
{
	const char *value = variable(name);
	struct text message = {};

	if (*value && check(value))
		return value;
	text_add(&message, "Environment variable ");
	text_add(&message, name);
	text_add(&message, *value ? " is invalid: \"" : " is missing");
	text_add_shown(&message, span_of(value));
	text_add(&message, *value ? "\"" : "");
	fail(CNI_INVALID_ENVIRONMENT, &message, NULL);
}

/* DEL succeeds when the agent is down: the deletion is queued for it. */
static _Noreturn void queue_and_exit(const char *state_dir, struct text *reason)
{
	const char *container = checked_variable("CNI_CONTAINERID", is_container);
	const char *ifname = checked_variable("CNI_IFNAME", is_ifname);
	struct text message = {};

	if (queue_delete(state_dir, span_of(container), span_of(ifname)))
		_exit(0);
	text_add(&message, "Cannot queue the deletion in ");
	text_add(&message, state_dir);
	text_add(&message, ": ");
	text_add(&message, strerror(errno));
	fail(CNI_IO_FAILURE, &message, text_string(reason));
}

/* Prints what the agent has answered. */
static _Noreturn void print_answer(const struct call *call)
{
	struct text text = {};
	struct span answer, value;

	if (!json_document(call->body, &answer) || *answer.begin != '{') {
		text_add(&text, "The agent answered ");
		text_add_number(&text, (size_t)call->status);
		text_add(&text, ": ");
		text_add_shown(&text, call->body);
		fail(CNI_FAILED, &text, NULL);
	}
	if (call->status != 200) {
		if (!json_member(answer, "message", &value) || *value.begin != '"')
			value = span_of("\"The agent failed without a reason\"");
		fail_quoted(CNI_FAILED, value, NULL);
	}
	if (json_member(answer, "error", &value)) {
		text_add_span(&text, value);
		finish(&text, 1);
	}
	if (!json_member(answer, "result", &value))
		_exit(0);
	text_add_span(&text, value);
	finish(&text, 0);
}

/* The call's body: the variables that are set, and the configuration as text. */
static struct text request_body(struct span input)
{
	struct text body = {};
	const char *comma = "";

	text_add(&body, "{\"env\":{");
	for (size_t i = 0; i < COUNT(variables); i++) {
		const char *value = getenv(variables[i]);

		if (!value)
			continue;
		text_add(&body, comma);
		text_add_json(&body, span_of(variables[i]));
		text_add(&body, ":");
		text_add_json(&body, span_of(value));
		comma = ",";
	}
	text_add(&body, "},\"config\":");
	text_add_json(&body, input);
	text_add(&body, "}");
	return body;
}

int main(void)
{
	const struct command *command = find_command();
	int64_t deadline = now_ms() + command->timeout_ms;
	struct span input = read_stdin(deadline), config = decode_config(input);
	struct call call = {.deadline = deadline};
	struct text body;
	const char *state_dir;
	enum call_outcome outcome;

	find_version(config);
	if (strcmp(command->name, "VERSION") == 0)
		print_versions();
	call.socket = config_path(config, "socket", DEFAULT_SOCKET);
	state_dir = config_path(config, "stateDir", DEFAULT_STATE_DIR);
	body = request_body(input);
	outcome = call_agent(&call, "/v1/cni", &body);
	if (outcome == CALL_ANSWERED)
		print_answer(&call);
	if (strcmp(command->name, "DEL") == 0)
		queue_and_exit(state_dir, &call.reason);
	if (outcome == CALL_LATE)
		fail_late();
	fail(strcmp(command->name, "CHECK") == 0 ? CNI_TRY_AGAIN_LATER : CNI_NOT_AVAILABLE,
	     &call.reason, NULL);
}
