/* cli/facts.h: facts for people, or the same ones for programs.
 *
 *     text   put session=1 client_id="c" retain entries=[{seq=4 qos=1} {seq=5 qos=1}]
 *     JSON   {"type":"put","session":1,"client_id":"c","retain":true,"entries":[{"seq":4,...
 *
 * Who tells them tells them once.  No memory is remembered in `error`, and the rest is left out.
 * One thread. */
#pragma once

#include "base/buffer.h"

enum facts_style { FACTS_TEXT, FACTS_JSON };

struct facts {
    struct buffer out; /* lines; the caller may empty it between two */
    enum facts_style style;
    int error;     /* 0 or -ENOMEM */
    bool is_first; /* nothing stands before the next fact that it must be parted from */
};

void facts_init(struct facts *f, enum facts_style style);
void facts_fini(struct facts *f);

void facts_begin(struct facts *f); /* a line */
void facts_end(struct facts *f);

/* Facts within one.  name NULL: of a list.  bracket is '[' or '{', and its counterpart. */
void facts_open(struct facts *f, const char *name, char bracket);
void facts_close(struct facts *f, char bracket);

void facts_word(struct facts *f, const char *name, const char *word); /* text: the word alone */
void facts_text(struct facts *f, const char *name, const char *text);
void facts_flag(struct facts *f, const char *name, bool is_so); /* text: its name, if it is so */
void facts_number(struct facts *f, const char *name, uint64_t number); /* name NULL: of a list */
void facts_never(struct facts *f, const char *name);                   /* no number, no time */
void facts_time(struct facts *f, const char *name, int64_t wall_ns);   /* ISO 8601, UTC */

/* In quotes if all of it can be printed, else hexadecimal (JSON: NAME_hex).  What is longer than
 * `most` is cut, and says so. */
void facts_bytes(struct facts *f, const char *name, struct bytes bytes, size_t most);
