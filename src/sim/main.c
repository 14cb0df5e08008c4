/* sim/main.c: chappe-sim: runs seeds, one after the other, each in a process of its own.
 *
 * The trace lies in memory that both processes see: so when the broker stops on an assertion, or
 * hangs, its last words are still there to be printed. */
#include "sim/sim.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECONDS_PER_SEED_MAX = 60 };

struct arguments {
    struct sim_options sim;
    uint64_t seeds;
    bool is_one; /* a single seed was asked for */
};

/* What the watching process sees. */
struct shared {
    struct trace trace;
    struct sim_result result;
};

static void usage(FILE *out)
{
    fprintf(
        out,
        "usage: chappe-sim [--seeds N] [--seed S] [--workers 1..%d] [--steps N] [--plant NAME]\n"
        "                  [--memory] [--verbose]\n"
        "Runs the broker in a make-believe world: seeds S to S+N-1 (by default 1 to 100).\n"
        "With --seed alone, that one seed, and its invariants are checked after every step.\n"
        "A bug can be planted, to see that it is found:\n",
        SIM_WORKERS_MAX);
#define PLANT(name, text, words) fprintf(out, "  %-20s  %s\n", text, words);
    PLANT_TABLE(PLANT)
#undef PLANT
}

/* A number in min..max; anything else ends the program. */
static uint64_t number(const char *option, const char *text, uint64_t min, uint64_t max)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = text == NULL || *text == '-' ? 0 : strtoull(text, &end, 10);
    if (text == NULL || *text == '-' || *end != '\0' || end == text || errno != 0 || value < min ||
        value > max) {
        fprintf(stderr, "chappe-sim: %s wants a number from %llu to %llu\n", option,
                (unsigned long long)min, (unsigned long long)max);
        exit(2);
    }
    return value;
}

static enum plant_kind plant(const char *name)
{
    enum plant_kind kind = name == NULL ? PLANT_NONE : plant_from_name(name);
    if (kind == PLANT_NONE) {
        fprintf(stderr, "chappe-sim: there is no plant \"%s\"\n", name == NULL ? "" : name);
        usage(stderr);
        exit(2);
    }
    return kind;
}

static struct arguments parse(char **argv)
{
    struct arguments a = { .sim = { .seed = 1, .steps = SIM_STEPS_DEFAULT }, .seeds = 0 };
    for (; *argv != NULL; argv++) {
        const char *value = argv[1];
        if (strcmp(*argv, "--help") == 0) {
            usage(stdout);
            exit(0);
        }
        if (strcmp(*argv, "--memory") == 0) {
            a.sim.in_memory = true;
            continue;
        }
        if (strcmp(*argv, "--verbose") == 0) {
            a.sim.is_verbose = true;
            continue;
        }
        if (strcmp(*argv, "--seeds") == 0) {
            a.seeds = number(*argv, value, 1, UINT32_MAX);
        } else if (strcmp(*argv, "--seed") == 0) {
            a.sim.seed = number(*argv, value, 0, UINT64_MAX);
            a.is_one = true;
        } else if (strcmp(*argv, "--workers") == 0) {
            a.sim.workers = (unsigned)number(*argv, value, 1, SIM_WORKERS_MAX);
        } else if (strcmp(*argv, "--steps") == 0) {
            a.sim.steps = (unsigned)number(*argv, value, 1, 100 * 1000 * 1000);
        } else if (strcmp(*argv, "--plant") == 0) {
            a.sim.plant = plant(value);
        } else {
            fprintf(stderr, "chappe-sim: what is \"%s\"?\n", *argv);
            usage(stderr);
            exit(2);
        }
        argv++;
    }
    a.is_one &= a.seeds == 0;
    if (a.seeds == 0)
        a.seeds = a.is_one ? 1 : 100;
    a.sim.checks_all = a.is_one;
    return a;
}

/* In a process of its own.  True: all was well. */
static bool run_seed(const struct sim_options *o, struct shared *shared)
{
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) {
        perror("chappe-sim: fork");
        exit(2);
    }
    if (child == 0) {
        alarm(SECONDS_PER_SEED_MAX);
        bool passed = sim_run(o, &shared->trace, &shared->result);
        _exit(passed ? 0 : 1);
    }
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status))
        trace_fail(&shared->trace, "%s",
                   WTERMSIG(status) == SIGALRM ? "it hangs" : strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        trace_fail(&shared->trace, "it ended with status %d", WEXITSTATUS(status));
    return !shared->trace.has_failed;
}

static void tell_failure(const struct sim_options *o, const struct shared *shared)
{
    fprintf(stderr, "\r\033[K");
    trace_print(&shared->trace);
    fprintf(stderr, "chappe-sim --seed %llu --steps %u", (unsigned long long)o->seed, o->steps);
    if (o->workers > 0)
        fprintf(stderr, " --workers %u", o->workers);
    if (o->plant != PLANT_NONE)
        fprintf(stderr, " --plant %s", plant_name(o->plant));
    fprintf(stderr, "\n\n");
}

static void tell_success(const struct sim_options *o, const struct shared *shared)
{
    printf("seed %llu: %u worker%s, %.1f s, %llu messages delivered, trace %016llx\n",
           (unsigned long long)o->seed, shared->result.workers,
           shared->result.workers == 1 ? "" : "s", (double)shared->result.lasted_ns / 1e9,
           (unsigned long long)shared->result.delivered, (unsigned long long)shared->trace.hash);
}

int main(int argc, char **argv)
{
    struct arguments a = parse(argv + 1);
    bool shows_progress = isatty(STDERR_FILENO) && !a.is_one;
    uint64_t passed = 0, failed = 0;
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("chappe-sim: mmap");
        return 2;
    }
    for (uint64_t i = 0; i < a.seeds; i++) {
        struct sim_options o = a.sim;
        o.seed += i;
        if (run_seed(&o, shared)) {
            passed++;
            if (a.is_one)
                tell_success(&o, shared);
        } else {
            failed++;
            tell_failure(&o, shared);
        }
        if (shows_progress)
            fprintf(stderr, "\r%llu of %llu seeds", (unsigned long long)(i + 1),
                    (unsigned long long)a.seeds);
    }
    if (shows_progress)
        fprintf(stderr, "\r\033[K");
    printf("%llu passed, %llu failed\n", (unsigned long long)passed, (unsigned long long)failed);
    return failed == 0 ? 0 : 1;
}
