// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// The same work as ours by libbpf itself: bench OBJECT.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ENTRIES 10000
#define EVENTS	2000

static __u64 keys[ENTRIES], values[ENTRIES], sum;
static double times[EVENTS];
static int count, one;
static char packet[60];

static __u64 now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1000000000ull + at.tv_nsec;
}

static void check(int failed)
{
	if (!failed)
		return;
	perror("bench");
	exit(1);
}

static void run(int program)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof(packet));

	check(bpf_prog_test_run_opts(program, &options));
}

static int add(void *context, void *data, size_t size)
{
	(void)context;
	(void)size;
	sum += *(__u32 *)data;
	return 0;
}

static int measure(void *context, void *data, size_t size)
{
	(void)context;
	(void)size;
	if (count < EVENTS)
		times[count++] = (now() - *(__u64 *)data) / 1000.0;
	return 0;
}

static void *fire(void *context)
{
	(void)context;
	for (int i = 0; i < EVENTS; i++) {
		usleep(500);
		run(one);
	}
	return NULL;
}

static int order(const void *first, const void *second)
{
	double difference = *(const double *)first - *(const double *)second;

	return difference < 0 ? -1 : difference > 0;
}

/* The least mean of nanoseconds of five rounds. */
#define MEASURE(name, work)                                                                        \
	do {                                                                                       \
		double least = 0;                                                                  \
		for (int round = 0; round < 5; round++) {                                          \
			__u64 start = now();                                                       \
			work;                                                                      \
			double took = (double)(now() - start) / ENTRIES;                           \
			if (least == 0 || took < least)                                            \
				least = took;                                                      \
		}                                                                                  \
		printf("%s %.1f\n", name, least);                                                  \
	} while (0)

int main(int argc, char **argv)
{
	struct bpf_object *object = argc > 1 ? bpf_object__open_file(argv[1], NULL) : NULL;

	check(!object || bpf_object__load(object));
	int table = bpf_object__find_map_fd_by_name(object, "table");
	int events = bpf_object__find_map_fd_by_name(object, "events");
	int fill = bpf_program__fd(bpf_object__find_program_by_name(object, "fill"));

	one = bpf_program__fd(bpf_object__find_program_by_name(object, "one"));
	for (int i = 0; i < ENTRIES; i++)
		keys[i] = values[i] = i;
	MEASURE("update", for (int i = 0; i < ENTRIES; i++)
			      check(bpf_map_update_elem(table, &keys[i], &values[i], 0)));
	MEASURE("lookup", for (int i = 0; i < ENTRIES; i++)
			      check(bpf_map_lookup_elem(table, &keys[i], &values[i])));
	MEASURE("batch", __u32 number = ENTRIES;
		check(bpf_map_update_batch(table, keys, values, &number, NULL)));

	struct ring_buffer *ring = ring_buffer__new(events, add, NULL, NULL);
	double least = 0;

	check(!ring);
	for (int round = 0; round < 30; round++) {
		for (int i = 0; i < 30; i++)
			run(fill);
		__u64 start = now();
		int records = ring_buffer__consume(ring);
		double took = (double)(now() - start) / records;

		if (least == 0 || took < least)
			least = took;
	}
	printf("record %.1f\n", least);
	ring_buffer__free(ring);

	pthread_t thread;

	ring = ring_buffer__new(events, measure, NULL, NULL);
	check(!ring || pthread_create(&thread, NULL, fire, NULL));
	while (count < EVENTS)
		ring_buffer__poll(ring, 1000);
	pthread_join(thread, NULL);
	qsort(times, EVENTS, sizeof(times[0]), order);
	printf("p50 %.1f\np99 %.1f\n", times[EVENTS / 2], times[EVENTS * 99 / 100]);
	return 0;
}
