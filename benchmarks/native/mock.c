/* A provider that answers at once: OpenAI chat completions over HTTP/1.1, one thread, epoll.
 *
 *   mock PORT        (0 picks a free port; the first line printed is the port)
 *
 * The script of a stream stands in the prompt, because a prompt passes through every gateway:
 *   "tokens=250 pace_us=20000" sends 250 content events, one every 20 ms, each in its own write.
 * The usage event is sent only when the request asks for it, as the real service does. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FD = 32768, TICKS = 4096, MAX_EVENTS = 512, READ_SIZE = 65536, MAX_REQUEST = 1 << 24 };

#define CHUNK(rest)                                                                              \
    "data: {\"id\":\"chatcmpl-bench0000000000000000000\",\"object\":\"chat.completion.chunk\","  \
    "\"created\":1760000000,\"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\","  \
    "\"system_fingerprint\":\"fp_bench\"," rest "}\n\n"
#define DELTA(delta, finish)                                                                     \
    CHUNK("\"choices\":[{\"index\":0,\"delta\":{" delta "},\"logprobs\":null,"                   \
          "\"finish_reason\":" finish "}]")

static const char ROLE[] =
    DELTA("\"role\":\"assistant\",\"content\":\"\",\"refusal\":null", "null");
/* Several, in turn: LiteLLM breaks a stream off that repeats itself. */
static const char *const TOKENS[] = {
    DELTA("\"content\":\" the\"", "null"),  DELTA("\"content\":\" gateway\"", "null"),
    DELTA("\"content\":\" sends\"", "null"), DELTA("\"content\":\" each\"", "null"),
    DELTA("\"content\":\" chunk\"", "null"), DELTA("\"content\":\" as\"", "null"),
    DELTA("\"content\":\" it\"", "null"),    DELTA("\"content\":\" comes\"", "null"),
};
enum { WORDS = sizeof TOKENS / sizeof *TOKENS };
static const char FINISH[] = DELTA("", "\"stop\"");
static const char DONE[] = "data: [DONE]\n\n";
static const char STREAM_HEAD[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                                  "x-request-id: req_bench\r\ntransfer-encoding: chunked\r\n\r\n";
static const char ANSWER[] =
    "{\"id\":\"chatcmpl-bench0000000000000000000\",\"object\":\"chat.completion\","
    "\"created\":1760000000,\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{\"index\":0,"
    "\"message\":{\"role\":\"assistant\",\"content\":\"Hello from the mock provider.\","
    "\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
    "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":6,\"total_tokens\":15,"
    "\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},"
    "\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,"
    "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}},"
    "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_bench\"}";

struct conn {
    int fd;
    char *in, *out;
    size_t in_len, in_cap, out_len, out_cap;
    long tokens_left, tokens_sent;
    long pace_ticks;
    bool streaming, wants_usage;
    struct conn *next; /* in one slot of the wheel */
    int64_t due;
};

static struct conn *conns[MAX_FD];
static struct conn *wheel[TICKS];
static int64_t now_tick;
static int epoll_fd, scheduled;
static char answer_reply[2048], token_frames[WORDS][1024];
static size_t answer_len, token_lens[WORDS];

static int64_t milliseconds(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

static void schedule(struct conn *c) {
    c->due += c->pace_ticks;
    if (c->due <= now_tick) c->due = now_tick + 1;
    c->next = wheel[c->due % TICKS];
    wheel[c->due % TICKS] = c;
    scheduled++;
}

static void unschedule(struct conn *c) {
    for (struct conn **at = &wheel[c->due % TICKS]; *at; at = &(*at)->next) {
        if (*at != c) continue;
        *at = c->next;
        scheduled--;
        return;
    }
}

static void hang_up(struct conn *c) {
    if (c->streaming) unschedule(c);
    conns[c->fd] = NULL;
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
}

static void watch(struct conn *c, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = c->fd};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

/* False when the peer is gone; what the socket does not take now is kept and sent later. */
static bool put(struct conn *c, const char *bytes, size_t len) {
    if (!c->out_len) {
        ssize_t sent = send(c->fd, bytes, len, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return false;
        if (sent > 0) bytes += sent, len -= (size_t)sent;
        if (!len) return true;
        watch(c, EPOLLIN | EPOLLOUT);
    }
    if (c->out_len + len > c->out_cap) {
        c->out_cap = (c->out_len + len) * 2;
        c->out = realloc(c->out, c->out_cap);
    }
    memcpy(c->out + c->out_len, bytes, len);
    c->out_len += len;
    return true;
}

static bool flush(struct conn *c) {
    ssize_t sent = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    memmove(c->out, c->out + sent, c->out_len - (size_t)sent);
    c->out_len -= (size_t)sent;
    if (!c->out_len) watch(c, EPOLLIN);
    return true;
}

static size_t frame(char *to, const char *event) {
    return (size_t)sprintf(to, "%zx\r\n%s\r\n", strlen(event), event);
}

static bool end_stream(struct conn *c) {
    char end[4096], usage[512];
    size_t len = frame(end, FINISH);
    if (c->wants_usage) {
        snprintf(usage, sizeof usage,
                 CHUNK("\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":%ld,"
                       "\"total_tokens\":%ld}"),
                 c->tokens_sent, c->tokens_sent + 9);
        len += frame(end + len, usage);
    }
    len += frame(end + len, DONE);
    len += (size_t)sprintf(end + len, "0\r\n\r\n");
    c->streaming = false;
    return put(c, end, len);
}

static bool send_token(struct conn *c) {
    long word = c->tokens_sent++ % WORDS;
    c->tokens_left--;
    return put(c, token_frames[word], token_lens[word]);
}

static long number_after(const char *in, size_t len, const char *name, long otherwise) {
    const char *at = memmem(in, len, name, strlen(name));
    return at ? strtol(at + strlen(name), NULL, 10) : otherwise;
}

static bool has(const char *in, size_t len, const char *name) {
    return memmem(in, len, name, strlen(name)) != NULL;
}

static bool begin_stream(struct conn *c, const char *body, size_t len) {
    char start[4096];
    size_t at = (size_t)sprintf(start, "%s", STREAM_HEAD);
    at += frame(start + at, ROLE);
    at += frame(start + at, TOKENS[0]); /* with the head: first-chunk delay is then nobody's pace */
    c->tokens_left = number_after(body, len, "tokens=", 16) - 1;
    c->tokens_sent = 1;
    c->pace_ticks = number_after(body, len, "pace_us=", 0) / 1000;
    c->wants_usage = has(body, len, "\"include_usage\":true") ||
                     has(body, len, "\"include_usage\": true");
    if (!put(c, start, at)) return false;
    if (c->pace_ticks) {
        c->streaming = true;
        c->due = now_tick;
        schedule(c);
        return true;
    }
    while (c->tokens_left > 0)
        if (!send_token(c)) return false;
    return end_stream(c);
}

static bool respond(struct conn *c, const char *head, const char *body, size_t len) {
    static const char found[] = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                                "content-length: 27\r\n\r\n{\"object\":\"list\",\"data\":[]}";
    if (head[0] != 'P') return put(c, found, sizeof found - 1);
    if (has(body, len, "\"stream\":true") || has(body, len, "\"stream\": true"))
        return begin_stream(c, body, len);
    return put(c, answer_reply, answer_len);
}

/* Length of the first whole request in the buffer with its body found, or 0 for "not yet". */
static size_t whole_request(struct conn *c, const char **body, size_t *body_len) {
    char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head_len = (size_t)(end + 4 - c->in);
    *body = end + 4;
    *end = 0; /* a string for strcasestr; restored below */
    const char *length = strcasestr(c->in, "\r\ncontent-length:");
    bool chunked = strcasestr(c->in, "\r\ntransfer-encoding: chunked") != NULL;
    *body_len = length ? strtoul(length + 17, NULL, 10) : 0;
    *end = '\r';
    if (chunked) { /* the markers looked for are never cut: gateways send small bodies whole */
        const char *last = memmem(*body, c->in_len - head_len, "0\r\n\r\n", 5);
        if (!last) return 0;
        *body_len = (size_t)(last + 5 - *body);
    }
    return c->in_len < head_len + *body_len ? 0 : head_len + *body_len;
}

static bool take(struct conn *c) {
    if (c->in_cap - c->in_len < READ_SIZE) {
        c->in_cap += READ_SIZE;
        c->in = realloc(c->in, c->in_cap);
    }
    ssize_t got = recv(c->fd, c->in + c->in_len, c->in_cap - c->in_len, 0);
    if (got <= 0) return got < 0 && errno == EAGAIN;
    c->in_len += (size_t)got;
    if (c->in_len > MAX_REQUEST) return false;
    const char *body;
    size_t body_len, used;
    while (!c->streaming && (used = whole_request(c, &body, &body_len))) {
        if (!respond(c, c->in, body, body_len)) return false;
        memmove(c->in, c->in + used, c->in_len - used);
        c->in_len -= used;
    }
    return true;
}

static void welcome(int listener) {
    int one = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MAX_FD) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct conn *c = calloc(1, sizeof *c);
        c->fd = fd;
        conns[fd] = c;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static void run_wheel(void) {
    for (int64_t until = milliseconds(); now_tick < until;) {
        now_tick++;
        struct conn *c = wheel[now_tick % TICKS], *next;
        wheel[now_tick % TICKS] = NULL;
        for (; c; c = next) {
            next = c->next;
            scheduled--;
            bool alive = send_token(c);
            if (alive && c->tokens_left > 0) {
                schedule(c);
                continue;
            }
            c->streaming = false;
            if (!alive || !end_stream(c)) hang_up(c);
        }
    }
}

static int listen_on(uint16_t port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    socklen_t len = sizeof at;
    if (bind(fd, (struct sockaddr *)&at, len) || listen(fd, 4096)) {
        perror("mock: cannot listen");
        exit(1);
    }
    getsockname(fd, (struct sockaddr *)&at, &len);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv) {
    int listener = listen_on(argc > 1 ? (uint16_t)atoi(argv[1]) : 0);
    answer_len = (size_t)sprintf(answer_reply,
                                 "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                                 "x-request-id: req_bench\r\ncontent-length: %zu\r\n\r\n%s",
                                 strlen(ANSWER), ANSWER);
    for (int word = 0; word < WORDS; word++)
        token_lens[word] = frame(token_frames[word], TOKENS[word]);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[MAX_EVENTS], event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    now_tick = milliseconds();
    for (;;) {
        int count = epoll_wait(epoll_fd, events, MAX_EVENTS, scheduled ? 1 : 1000);
        run_wheel();
        for (int i = 0; i < count; i++) {
            struct conn *c = conns[events[i].data.fd];
            if (events[i].data.fd == listener) {
                welcome(listener);
            } else if (c) {
                bool alive = !(events[i].events & EPOLLOUT) || flush(c);
                if (alive && events[i].events & ~(uint32_t)EPOLLOUT) alive = take(c);
                if (!alive) hang_up(c);
            }
        }
    }
}
