/* A load generator: N connections over HTTP/1.1, one thread, epoll; closed loop, or at a rate.
 *
 *   load PORT REQUEST CONNECTIONS REPEAT SECONDS WARM_MS RAMP_MS EXPECT RATE SAMPLES
 *
 * REQUEST is a file with the whole request as it goes over the wire. REPEAT 0 sends until SECONDS
 * have passed; otherwise every connection sends REPEAT requests and SECONDS is the time-out.
 * RATE 0 sends the next request as soon as the answer to the last is whole; otherwise all together
 * send RATE requests a second, and a request that had to wait for a busy connection counts from the
 * moment it was due. EXPECT 0 wants one whole answer with the mock's text in it; otherwise a stream that has at least
 * EXPECT events and ends with [DONE]. Whatever else comes is an error, and the first is shown.
 * SAMPLES gets one struct sample per good answer that ended after WARM_MS; stdout one JSON line. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 16384, KEEP = 4096, READ_SIZE = 65536, MAX_EVENTS = 512,
       STATUSES = 600 };
enum framing { HEAD, COUNTED, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, UNTIL_CLOSE };

static const char MARKER[] = "Hello from the mock provider";

struct sample { /* as it stands in the file: six little-endian uint32, times in microseconds */
    uint32_t latency, first_event, worst_gap, span, events, began;
};

struct conn {
    int fd, left, status;
    bool open, done_seen, waits;
    enum framing framing;
    char head[HEAD_MAX + 1], kept[KEEP + 1], line[16];
    size_t head_len, kept_len, line_len;
    uint64_t remaining;
    int64_t began, first, last, worst, due;
    uint32_t events;
};

static struct sockaddr_in target = {.sin_family = AF_INET};
static char *request, first_error[KEEP + 64];
static size_t request_len;
static long connections, repeat, warm_ms, ramp_ms, expect;
static double seconds, rate;
static long refusals[STATUSES];
static int epoll_fd;
static int64_t start_us;
static uint64_t good, errors, window_events, window_good;
static long active;
static FILE *samples;

static int64_t now_us(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000LL + at.tv_nsec / 1000;
}

static bool in_window(int64_t now) { return now - start_us >= warm_ms * 1000; }

static void failed(struct conn *c, const char *why) {
    if (!errors++)
        snprintf(first_error, sizeof first_error, "%s (status %d): %.*s", why, c->status, 400,
                 c->kept_len ? c->kept : "");
}

/* Begins to connect; never waits, because an overloaded gateway may not take connections. */
static bool dial(struct conn *c) {
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) return false;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&target, sizeof target) && errno != EINPROGRESS)
        return false;
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
    return true;
}

static void drop(struct conn *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->open = false;
}

static void give_up(struct conn *c, const char *why) {
    failed(c, why);
    drop(c);
    active--;
}

static void send_request(struct conn *c) {
    if (send(c->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len)
        give_up(c, "cannot send");
}

static void connected(struct conn *c) {
    int error = 0;
    socklen_t len = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error) {
        give_up(c, "cannot connect");
        return;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
    c->open = true;
    send_request(c);
}

static void ask(struct conn *c, int64_t began) {
    c->framing = HEAD;
    c->head_len = c->kept_len = c->line_len = 0;
    c->status = 0;
    c->first = c->worst = 0;
    c->events = 0;
    c->done_seen = false;
    c->waits = false;
    c->began = began;
    if (c->open)
        send_request(c);
    else if (!dial(c))
        give_up(c, "cannot connect");
}

/* The next request: now, or when it is due. */
static void ask_next(struct conn *c, int64_t now) {
    if (rate > 0) c->due += (int64_t)((double)connections * 1e6 / rate);
    c->waits = rate > 0 && c->due > now;
    if (!c->waits) ask(c, rate > 0 ? c->due : now);
}

static void record(struct conn *c, int64_t now) {
    struct sample s = {(uint32_t)(now - c->began),
                       c->first ? (uint32_t)(c->first - c->began) : 0, (uint32_t)c->worst,
                       c->first ? (uint32_t)(c->last - c->first) : 0, c->events,
                       (uint32_t)(c->began - start_us)};
    good++;
    if (!in_window(now)) return;
    window_good++;
    fwrite(&s, sizeof s, 1, samples);
}

static void finished(struct conn *c, bool keep_alive) {
    int64_t now = now_us();
    c->kept[c->kept_len] = 0;
    if (c->status != 200) {
        failed(c, "refused");
        refusals[c->status > 0 && c->status < STATUSES ? c->status : 0]++;
    } else if (expect && (!c->done_seen || c->events < (uint32_t)expect))
        failed(c, "broken stream");
    else if (!expect && !strstr(c->kept, MARKER))
        failed(c, "wrong answer");
    else
        record(c, now);
    if (!keep_alive) drop(c);
    if (c->left && !--c->left) {
        drop(c);
        active--;
    } else {
        ask_next(c, now_us());
    }
}

static void end_line(struct conn *c, int64_t now) {
    if (c->line_len >= 6 && !memcmp(c->line, "data:", 5)) {
        if (c->line_len >= 11 && memmem(c->line, c->line_len, "[DONE", 5)) {
            c->done_seen = true;
        } else {
            if (!c->events++) c->first = c->last = now;
            if (now - c->last > c->worst) c->worst = now - c->last;
            c->last = now;
            window_events += in_window(now);
        }
    }
    c->line_len = 0;
}

static void payload(struct conn *c, const char *at, size_t len, int64_t now) {
    size_t room = KEEP - c->kept_len, keep = len < room ? len : room;
    memcpy(c->kept + c->kept_len, at, keep);
    c->kept_len += keep;
    if (!expect) return;
    for (const char *end = at + len; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t piece = (size_t)((newline ? newline : end) - at);
        size_t fits = sizeof c->line - c->line_len;
        memcpy(c->line + c->line_len, at, piece < fits ? piece : fits);
        c->line_len += piece < fits ? piece : fits;
        if (newline) end_line(c, now);
        at += piece + (newline != NULL);
    }
}

/* Takes bytes of the head; returns how many were used. */
static size_t take_head(struct conn *c, const char *at, size_t len) {
    size_t had = c->head_len, room = HEAD_MAX - had, copy = len < room ? len : room;
    memcpy(c->head + had, at, copy);
    c->head_len += copy;
    c->head[c->head_len] = 0;
    char *end = memmem(c->head, c->head_len, "\r\n\r\n", 4);
    if (!end) return copy;
    end[2] = 0;
    c->status = atoi(c->head + 9);
    const char *length = strcasestr(c->head, "\r\ncontent-length:");
    if (strcasestr(c->head, "\r\ntransfer-encoding: chunked")) {
        c->framing = CHUNK_SIZE;
        c->remaining = 0;
    } else if (length) {
        c->framing = COUNTED;
        c->remaining = strtoull(length + 17, NULL, 10);
    } else {
        c->framing = UNTIL_CLOSE;
    }
    return (size_t)(end + 4 - c->head) - had;
}

static int hex(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    digit |= 32;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Feeds one character of chunked framing; true when the answer is whole. */
static bool framing_char(struct conn *c, char character) {
    if (c->framing == CHUNK_SIZE) {
        int digit = hex(character);
        if (digit >= 0) c->remaining = c->remaining * 16 + (uint64_t)digit;
        if (character == '\n') c->framing = c->remaining ? CHUNK_DATA : TRAILER;
    } else if (c->framing == CHUNK_END) {
        if (character == '\n') c->framing = CHUNK_SIZE;
    } else if (character == '\n') { /* no provider or gateway here sends trailers */
        return true;
    }
    return false;
}

/* Feeds bytes; true when the answer is whole. A closed loop never leaves bytes over. */
static bool feed(struct conn *c, const char *at, size_t len, int64_t now) {
    for (const char *end = at + len; at < end;) {
        if (c->framing == HEAD) {
            at += take_head(c, at, (size_t)(end - at));
            if (c->framing == HEAD && c->head_len == HEAD_MAX) return true;
            if (c->framing == COUNTED && !c->remaining) return true;
        } else if (c->framing == UNTIL_CLOSE) {
            payload(c, at, (size_t)(end - at), now);
            return false;
        } else if (c->framing == COUNTED || c->framing == CHUNK_DATA) {
            size_t take = (size_t)(end - at) < c->remaining ? (size_t)(end - at) : c->remaining;
            payload(c, at, take, now);
            at += take;
            c->remaining -= take;
            if (c->remaining) continue;
            if (c->framing == COUNTED) return true;
            c->framing = CHUNK_END;
        } else if (framing_char(c, *at++)) {
            return true;
        }
    }
    return false;
}

static void readable(struct conn *c) {
    static char buffer[READ_SIZE];
    ssize_t got = recv(c->fd, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        if (c->framing != UNTIL_CLOSE) c->status = 0;
        finished(c, false);
    } else if (feed(c, buffer, (size_t)got, now_us())) {
        finished(c, !strcasestr(c->head, "\r\nconnection: close"));
    }
}

static void load_request(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror("load: cannot read the request");
        exit(2);
    }
    request = malloc(1 << 20);
    request_len = fread(request, 1, 1 << 20, file);
    fclose(file);
}

static void print_string(const char *text) {
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < 32)
            printf("\\u%04x", *text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void report(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    double window = (double)(now_us() - start_us) / 1e6 - (double)warm_ms / 1e3;
    printf("{\"good\":%lu,\"errors\":%lu,\"unfinished\":%ld,\"window_good\":%lu,"
           "\"window_events\":%lu,\"window_s\":%.6f,\"cpu_s\":%.6f,\"start_us\":%ld,"
           "\"first_error\":",
           good, errors, repeat ? active : 0, window_good, window_events, window, cpu,
           (long)start_us);
    print_string(first_error);
    printf(",\"refusals\":{");
    const char *comma = "";
    for (int status = 0; status < STATUSES; status++) {
        if (!refusals[status]) continue;
        printf("%s\"%d\":%ld", comma, status, refusals[status]);
        comma = ",";
    }
    printf("}}\n");
}

/* Sends what is due; returns how long nothing else will be, in microseconds. */
static int64_t send_due(struct conn *all, long started) {
    int64_t now = now_us(), soonest = now + 50000;
    for (long i = 0; i < started; i++) {
        struct conn *c = &all[i];
        if (!c->waits) continue;
        if (c->due <= now)
            ask(c, now);
        else if (c->due < soonest)
            soonest = c->due;
    }
    return soonest - now;
}

static int wait_for_events(struct epoll_event *events, int64_t most_us) {
    if (rate <= 0) return epoll_wait(epoll_fd, events, MAX_EVENTS, (int)(most_us / 1000));
    struct pollfd one = {.fd = epoll_fd, .events = POLLIN};
    struct timespec most = {.tv_sec = 0, .tv_nsec = most_us * 1000};
    ppoll(&one, 1, &most, NULL);
    return epoll_wait(epoll_fd, events, MAX_EVENTS, 0);
}

static void run(struct conn *all) {
    struct epoll_event events[MAX_EVENTS];
    long started = 0;
    active = connections;
    start_us = now_us();
    int64_t deadline = start_us + (int64_t)(seconds * 1e6);
    while (active > 0 && now_us() < deadline) {
        int64_t since = now_us() - start_us;
        while (started < connections && started * ramp_ms * 1000 <= since * connections) {
            struct conn *c = &all[started++];
            c->fd = -1;
            c->left = (int)repeat;
            c->due = now_us();
            ask(c, c->due);
        }
        int64_t most_us = rate > 0 ? send_due(all, started) : 50000;
        int count = wait_for_events(events, started < connections && most_us > 1000 ? 1000 : most_us);
        for (int i = 0; i < count; i++) {
            struct conn *c = events[i].data.ptr;
            if (c->open)
                readable(c);
            else if (c->fd >= 0)
                connected(c);
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 11) {
        fprintf(stderr, "load: PORT REQUEST CONNECTIONS REPEAT SECONDS WARM_MS RAMP_MS EXPECT "
                        "RATE SAMPLES\n");
        return 2;
    }
    target.sin_port = htons((uint16_t)atoi(argv[1]));
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    load_request(argv[2]);
    connections = atol(argv[3]);
    repeat = atol(argv[4]);
    seconds = atof(argv[5]);
    warm_ms = atol(argv[6]);
    ramp_ms = atol(argv[7]);
    expect = atol(argv[8]);
    rate = atof(argv[9]);
    samples = fopen(argv[10], "wb");
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct conn *all = calloc((size_t)connections, sizeof *all);
    if (!samples || !all) {
        perror("load");
        return 2;
    }
    run(all);
    fclose(samples);
    report();
    return 0;
}
