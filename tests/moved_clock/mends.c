/* What libfaketime leaves broken; tools/test_days.py compiles this and loads it before libfaketime.

   While a program waits, libfaketime shows the true time to its signal handlers. PostgreSQL's handler then finds that a
   timeout is not yet due, and waits for the moved day: statement_timeout and lock_timeout never fire. A wait for a
   length of time needs no moved clock, so it goes to the C library directly. So does the wait until a moment of the
   monotonic clock, from which libfaketime would subtract the moved days (Python's time.sleep).

   A wait until a moment of the system's clock needs it. libfaketime does not know that of C11 (Kafka's client), and takes
   moments of the monotonic clock for those of the system's: threads of Python that wait for each other then stall. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <threads.h>
#include <time.h>

#define FORWARD(name, parameters, ...)                                                  \
    int name parameters {                                                               \
        static int (*real) parameters;                                                  \
        if (!real) real = dlsym(dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD), #name);   \
        return real(__VA_ARGS__);                                                       \
    }

FORWARD(epoll_wait, (int e, struct epoll_event *found, int n, int ms), e, found, n, ms)
FORWARD(epoll_pwait, (int e, struct epoll_event *found, int n, int ms, const sigset_t *mask), e, found, n, ms, mask)
FORWARD(poll, (struct pollfd *files, nfds_t n, int ms), files, n, ms)
FORWARD(ppoll, (struct pollfd *files, nfds_t n, const struct timespec *t, const sigset_t *mask), files, n, t, mask)
FORWARD(select, (int n, fd_set *r, fd_set *w, fd_set *x, struct timeval *t), n, r, w, x, t)
FORWARD(pselect, (int n, fd_set *r, fd_set *w, fd_set *x, const struct timespec *t, const sigset_t *mask),
        n, r, w, x, t, mask)
FORWARD(nanosleep, (const struct timespec *t, struct timespec *rest), t, rest)
FORWARD(clock_nanosleep, (clockid_t clock, int flags, const struct timespec *t, struct timespec *rest),
        clock, flags, t, rest)

/* The monotonic clock counts from the start of the machine, so its moments are small. */
#define UNTIL(name, condition, mutex)                                                   \
    int name(condition *c, mutex *m, const struct timespec *moved) {                    \
        static int (*real)(condition *, mutex *, const struct timespec *);              \
        if (!real) real = dlsym(dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD), #name);   \
        const char *ahead = getenv("FAKETIME");                                         \
        struct timespec until = *moved;                                                 \
        if (ahead && until.tv_sec > 1000000000) until.tv_sec -= atol(ahead);            \
        return real(c, m, &until);                                                      \
    }

UNTIL(cnd_timedwait, cnd_t, mtx_t)
UNTIL(pthread_cond_timedwait, pthread_cond_t, pthread_mutex_t)
