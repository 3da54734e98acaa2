/* A TCP proxy that makes a network of the loopback device.
 *
 * delay LISTEN_PORT TARGET_PORT ROUND_TRIP_MS
 *
 * Every byte is passed on half a round trip after it came, in either direction, and what a client
 * sends first waits for one more round trip: that of the handshake, which the kernel has answered
 * at once. At most 8 MiB are on their way (320 MB/s at 50 ms): taking in more at a time held up
 * what was due. Prints "ready" once it listens; ends with SIGTERM.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK_BYTES = 256 * 1024, MAX_QUEUED_BYTES = 8 * 1024 * 1024, MAX_EVENTS = 256 };

struct chunk {
    struct chunk *next;
    int64_t due_ns;
    size_t begin, end; /* begin == end: the sender has closed its side */
    char bytes[];
};

/* What flows one way: read from `from`, written to `to` when it is due. */
struct flow {
    int from, to;
    struct chunk *first, **last;
    size_t queued_bytes;
    bool ended, done;
};

struct connection {
    struct connection *next;
    struct flow up, down;
    int64_t opened_ns;
};

static int64_t round_trip_ns;
static struct connection *connections;
static int epoll, timer;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void watch(int fd, void *tag) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = tag};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

static void take(struct flow *flow, int64_t not_before_ns) {
    static char buffer[CHUNK_BYTES];
    while (!flow->ended && flow->queued_bytes < MAX_QUEUED_BYTES) {
        ssize_t got = read(flow->from, buffer, sizeof buffer);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (got < 0) got = 0;
        struct chunk *chunk = malloc(sizeof *chunk + got);
        if (!chunk) die("malloc");
        *chunk = (struct chunk){.due_ns = now() + round_trip_ns / 2, .end = got};
        if (chunk->due_ns < not_before_ns) chunk->due_ns = not_before_ns;
        memcpy(chunk->bytes, buffer, got);
        *flow->last = chunk;
        flow->last = &chunk->next;
        flow->queued_bytes += got;
        flow->ended = got == 0;
    }
}

static void give(struct flow *flow, int64_t now_ns) {
    while (flow->first && flow->first->due_ns <= now_ns) {
        struct chunk *chunk = flow->first;
        if (chunk->begin == chunk->end) {
            shutdown(flow->to, SHUT_WR);
            flow->done = true;
        } else {
            ssize_t sent = send(flow->to, chunk->bytes + chunk->begin, chunk->end - chunk->begin,
                                MSG_NOSIGNAL);
            if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
            if (sent < 0) { /* nobody listens any more: whatever else comes is dropped */
                shutdown(flow->from, SHUT_RD);
                sent = chunk->end - chunk->begin;
            }
            chunk->begin += sent;
            flow->queued_bytes -= sent;
            if (chunk->begin < chunk->end) return;
        }
        flow->first = chunk->next;
        if (!flow->first) flow->last = &flow->first;
        free(chunk);
    }
}

static void open_connection(int client, const struct sockaddr_in *target) {
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server < 0 || connect(server, (const struct sockaddr *)target, sizeof *target) < 0) {
        perror("connect");
        close(client);
        if (server >= 0) close(server);
        return;
    }
    int one = 1;
    for (int i = 0; i < 2; i++) {
        int fd = i ? server : client;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    }
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) die("calloc");
    connection->opened_ns = now();
    connection->up = (struct flow){.from = client, .to = server, .last = NULL};
    connection->down = (struct flow){.from = server, .to = client, .last = NULL};
    connection->up.last = &connection->up.first;
    connection->down.last = &connection->down.first;
    connection->next = connections;
    connections = connection;
    watch(client, connection);
    watch(server, connection);
}

static void pass_on(struct connection *connection) {
    take(&connection->up, connection->opened_ns + round_trip_ns + round_trip_ns / 2);
    take(&connection->down, 0);
    int64_t now_ns = now();
    give(&connection->up, now_ns);
    give(&connection->down, now_ns);
    take(&connection->up, connection->opened_ns + round_trip_ns + round_trip_ns / 2);
    take(&connection->down, 0);
}

/* Pass on what is due, close what is over, and return when to come back. */
static int64_t sweep(void) {
    int64_t next_ns = INT64_MAX;
    int64_t now_ns = now();
    for (struct connection **at = &connections; *at;) {
        struct connection *connection = *at;
        struct flow *flows[2] = {&connection->up, &connection->down};
        bool due = false;
        for (int i = 0; i < 2; i++)
            due |= flows[i]->first && flows[i]->first->due_ns <= now_ns;
        if (due) pass_on(connection);
        if (connection->up.done && connection->down.done) {
            *at = connection->next;
            close(connection->up.from);
            close(connection->down.from);
            free(connection);
            continue;
        }
        for (int i = 0; i < 2; i++) /* what is overdue waits for the socket, and epoll tells */
            if (flows[i]->first && flows[i]->first->due_ns > now_ns &&
                flows[i]->first->due_ns < next_ns)
                next_ns = flows[i]->first->due_ns;
        at = &connection->next;
    }
    return next_ns;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: delay LISTEN_PORT TARGET_PORT ROUND_TRIP_MS\n");
        return 2;
    }
    round_trip_ns = atof(argv[3]) * 1e6;
    signal(SIGPIPE, SIG_IGN);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in target = here;
    target.sin_port = htons(atoi(argv[2]));
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) < 0) die("bind");
    if (listen(listener, 1024) < 0) die("listen");
    epoll = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    watch(listener, &listener);
    struct epoll_event on_timer = {.events = EPOLLIN, .data.ptr = &timer};
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &on_timer);
    puts("ready");
    fflush(stdout);
    struct epoll_event events[MAX_EVENTS];
    for (;;) {
        int count = epoll_wait(epoll, events, MAX_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &listener) {
                int client;
                while ((client = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
                    open_connection(client, &target);
            } else if (events[i].data.ptr == &timer) {
                uint64_t expirations;
                if (read(timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN)
                    die("timerfd");
            } else {
                pass_on(events[i].data.ptr);
            }
        }
        int64_t next_ns = sweep();
        struct itimerspec at = {0};
        if (next_ns != INT64_MAX) {
            at.it_value.tv_sec = next_ns / 1000000000;
            at.it_value.tv_nsec = next_ns % 1000000000;
        }
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
    }
}
