/* A TCP proxy that makes a network of the loopback device.
 *
 * delay LISTEN_PORT TARGET_PORT ROUND_TRIP_MS
 *
 * Every byte is passed on half a round trip after it came, in either direction, and what a client
 * sends first waits for one more round trip: that of the handshake, which the kernel has answered
 * at once. At most 8 MiB of a direction are on their way (320 MB/s at 50 ms). Each direction of a
 * connection has a thread, whose queue no other thread touches. Ends with SIGTERM.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK_BYTES = 256 * 1024, MAX_QUEUED_BYTES = 8 * 1024 * 1024 };
static const int64_t SECOND_NS = 1000000000;

struct chunk {
    struct chunk *next;
    int64_t due_ns;
    size_t size; /* 0: the sender has closed its side */
    char bytes[];
};

/* One direction of a connection; the one that ends last closes both sockets. */
struct flow {
    int from, to;
    int64_t not_before_ns;
    atomic_int *open_flows;
};

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND_NS + t.tv_nsec;
}

static bool send_all(int to, const struct chunk *chunk) {
    if (!chunk->size) return shutdown(to, SHUT_WR) == 0;
    for (size_t at = 0; at < chunk->size;) {
        ssize_t sent = send(to, chunk->bytes + at, chunk->size - at, MSG_NOSIGNAL);
        if (sent < 0) return false;
        at += sent;
    }
    return true;
}

static int64_t delay_ns;

static void *carry(void *argument) {
    struct flow flow = *(struct flow *)argument;
    free(argument);
    char buffer[CHUNK_BYTES];
    struct chunk *first = NULL, **last = &first;
    size_t queued_bytes = 0;
    bool ended = false, broken = false;
    while (first || !ended) {
        int64_t wait_ns = first ? first->due_ns - now() : 0;
        if (wait_ns < 0) wait_ns = 0;
        struct timespec timeout = {wait_ns / SECOND_NS, wait_ns % SECOND_NS};
        struct pollfd readable = {.fd = flow.from, .events = POLLIN};
        bool has_room = !ended && queued_bytes < MAX_QUEUED_BYTES;
        if (ppoll(&readable, has_room, first ? &timeout : NULL, NULL) > 0) {
            ssize_t got = read(flow.from, buffer, sizeof buffer);
            if (got < 0) got = 0; /* a reset ends it as well */
            struct chunk *chunk = malloc(sizeof *chunk + got);
            *chunk = (struct chunk){.due_ns = now() + delay_ns, .size = got};
            if (chunk->due_ns < flow.not_before_ns) chunk->due_ns = flow.not_before_ns;
            memcpy(chunk->bytes, buffer, got);
            *last = chunk;
            last = &chunk->next;
            queued_bytes += got;
            ended = got == 0;
        }
        while (first && (broken || first->due_ns <= now())) {
            struct chunk *chunk = first;
            if (!broken && !send_all(flow.to, chunk)) ended = broken = true;
            queued_bytes -= chunk->size;
            first = chunk->next;
            if (!first) last = &first;
            free(chunk);
        }
    }
    if (broken) shutdown(flow.from, SHUT_RD);
    if (atomic_fetch_sub(flow.open_flows, 1) == 1) {
        close(flow.from);
        close(flow.to);
        free(flow.open_flows);
    }
    return NULL;
}

static void start(int from, int to, int64_t not_before_ns, atomic_int *open_flows) {
    int one = 1;
    setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct flow *flow = malloc(sizeof *flow);
    *flow = (struct flow){from, to, not_before_ns, open_flows};
    pthread_t thread;
    pthread_create(&thread, NULL, carry, flow);
    pthread_detach(thread);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: delay LISTEN_PORT TARGET_PORT ROUND_TRIP_MS\n");
        return 2;
    }
    delay_ns = atof(argv[3]) * 1e6 / 2;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in target = here;
    target.sin_port = htons(atoi(argv[2]));
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 1024)) {
        perror("delay");
        return 1;
    }
    for (;;) {
        int client = accept(listener, NULL, NULL), server = socket(AF_INET, SOCK_STREAM, 0);
        if (client < 0 || connect(server, (struct sockaddr *)&target, sizeof target)) {
            perror("delay");
            if (client >= 0) close(client);
            close(server);
            continue;
        }
        atomic_int *open_flows = malloc(sizeof *open_flows);
        atomic_init(open_flows, 2);
        start(client, server, now() + 3 * delay_ns, open_flows);
        start(server, client, 0, open_flows);
    }
}
