/* cli/store_job.h: what one call of `chappe store` is to do, and how it speaks.
 *
 * The verbs of the command take a job whose command line has been read and whose folder has been
 * found; they return the exit status. */
#pragma once

#include "cli/facts.h"
#include "store/store.h"

enum store_status { STORE_FINE = 0, STORE_FAILED = 1, STORE_USAGE = 2 };

enum { STORE_PATH_SIZE = 4096 };

enum store_word { /* what a verb takes; all take --config-file and --help */
                  STORE_TAKES_TARGET = 1 << 0,
                  STORE_TAKES_JSON = 1 << 1,
                  STORE_TAKES_CHOICE = 1 << 2, /* --session, --topic, --live, --messages, --full */
                  STORE_TAKES_TOP = 1 << 3,
};

struct store_job {
    const char *verb;
    const struct env *env;

    const char *place;  /* as given: the store, or the folder it is in; NULL: see config */
    const char *config; /* a file that says where it is */
    const char *to;     /* backup, repair */
    char folder[STORE_PATH_SIZE]; /* the store's own */

    bool json, full, live, messages, is_help;
    const char *client_id, *filter; /* NULL: all */
    int64_t top;
};

/* The words behind the verb (argv[0]), which takes those of `words`.  Strings point into argv.
 * False: *error says what is wrong, without a final newline. */
bool store_job_parse(struct store_job *j, unsigned words, int argc, char **argv,
                     struct buffer *error);

/* A line on stderr. */
void store_say(const struct store_job *j, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Says why a store cannot be read, where, and what to do; the exit status. */
int store_say_fault(const struct store_job *j, int error, const struct store_fault *fault);

/* Says why job->to cannot be made. */
void store_say_target(const struct store_job *j, int error);

/* Lines of facts go to stdout, and f is empty again.  False: memory or stdout is at an end, and it
 * has been said. */
bool store_print(const struct store_job *j, struct facts *f);

/* ------------------------------------------------------------------------------- progress ----- */

/* One line on stderr, written again and again, if that is a terminal. */
struct store_progress {
    const struct store_job *job;
    const char *what;
    int64_t shown_ns;
    bool is_shown;
};

void store_progress_show(struct store_progress *p, uint64_t bytes, uint64_t bytes_in_all);
void store_progress_end(struct store_progress *p);

/* As store_options.on_progress, with a struct store_progress. */
void store_on_progress(void *progress, uint64_t bytes_read, uint64_t bytes_in_all);
