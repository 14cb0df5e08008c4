/* The command line of `chappe bench`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/scenarios.h"
#include "cli/bench_options.h"
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 64 };

struct fixture {
    struct bench_options o;
    struct buffer error;
    char *copy;
};

/* Words are separated by single blanks. */
static enum bench_request parse(struct fixture *f, const char *line)
{
    char *words[WORDS_MAX + 1] = { (char *)"bench" };
    int count = 1;
    memset(f, 0, sizeof *f);
    bench_options_init(&f->o);
    f->o.default_password = "from the environment";
    f->copy = strdup(line);
    for (char *at = strtok(f->copy, " "); at != NULL; at = strtok(NULL, " ")) {
        assert_true(count < WORDS_MAX);
        words[count++] = at;
    }
    return bench_options_parse(&f->o, count, words, &f->error);
}

static void end(struct fixture *f)
{
    bench_options_fini(&f->o);
    buffer_fini(&f->error);
    free(f->copy);
}

static const struct bench_spec *parse_one(struct fixture *f, const char *line)
{
    assert_int_equal(parse(f, line), REQUEST_RUN);
    assert_int_equal(f->o.spec_count, 1);
    return &f->o.specs[0];
}

static void a_scenario_alone_is_the_row_of_the_table(void **state)
{
    struct fixture f;
    const struct bench_spec *s = parse_one(&f, "p2p-qos1"), *row = scenario_find("p2p-qos1");
    assert_string_equal(s->target.host, "localhost");
    assert_int_equal(s->target.port, 1883);
    assert_int_equal(s->target.version, VERSION_3_1_1);
    assert_null(s->target.username);
    assert_null(s->target.password);
    struct bench_spec same = *s;
    same.target = row->target;
    assert_memory_equal(&same, row, sizeof same);
    end(&f);
}

static void options_are_stored(void **state)
{
    struct fixture f;
    const struct bench_spec *s = parse_one(
        &f, "-h example.org -p 1884 -V 5 -u user -P secret --pid 77 p2p-qos0 -q 2 -s 100 "
            "-w 7 --publishers 3 --subscribers 3 -t 2.5 --warm-up 0 -m 12 --json --quiet");
    assert_string_equal(s->target.host, "example.org");
    assert_int_equal(s->target.port, 1884);
    assert_int_equal(s->target.version, VERSION_5_0);
    assert_string_equal(s->target.username, "user");
    assert_string_equal(s->target.password, "secret");
    assert_int_equal(s->target.pid, 77);
    assert_int_equal(s->qos, 2);
    assert_int_equal(s->payload_size, 100);
    assert_int_equal(s->window, 7);
    assert_int_equal(s->publishers, 3);
    assert_int_equal(s->subscribers, 3);
    assert_true(s->seconds == 2.5 && s->warm_up == 0);
    assert_int_equal(s->messages, 12);
    assert_true(f.o.json && f.o.quiet);
    end(&f);
}

static void words_mean_the_same_as_letters(void **state)
{
    struct fixture f;
    const struct bench_spec *s =
        parse_one(&f, "--host h --port 1 --protocol-version mqttv5 --username u --pw p --qos 1 "
                      "--size 64 --window 2 --seconds 1 --messages 3 fan-in");
    assert_string_equal(s->target.host, "h");
    assert_int_equal(s->target.port, 1);
    assert_int_equal(s->target.version, VERSION_5_0);
    assert_string_equal(s->target.username, "u");
    assert_string_equal(s->target.password, "p");
    assert_int_equal(s->qos, 1);
    assert_int_equal(s->payload_size, 64);
    assert_int_equal(s->window, 2);
    assert_true(s->seconds == 1);
    assert_int_equal(s->messages, 3);
    end(&f);
}

static void what_follows_from_options(void **state)
{
    struct fixture f;
    const struct bench_spec *s = parse_one(&f, "p2p-qos0 --publishers 7");
    assert_int_equal(s->subscribers, 7); /* one number is enough for pairs */
    end(&f);
    s = parse_one(&f, "p2p-qos0 --subscribers 7");
    assert_int_equal(s->publishers, 7);
    end(&f);
    s = parse_one(&f, "p2p-qos0 --rate 100");
    assert_int_equal(s->rate, 100);
    assert_int_equal(s->window, 0); /* an open loop has none */
    end(&f);
    s = parse_one(&f, "p2p-qos0 -m 1000");
    assert_true(s->seconds > 3600 && s->warm_up == 0); /* the messages end it, not the time */
    end(&f);
    s = parse_one(&f, "drain -m 5000 --subscribers 50");
    assert_int_equal(s->queued, 100); /* so many in all */
    assert_true(s->seconds > 3600 && s->warm_up == 0);
    end(&f);
    s = parse_one(&f, "p2p-qos0 -u user");
    assert_string_equal(s->target.password, "from the environment");
    end(&f);
}

static void several_scenarios_run_in_the_order_given(void **state)
{
    struct fixture f;
    assert_int_equal(parse(&f, "idle p2p-qos0 -t 2 idle"), REQUEST_RUN);
    assert_int_equal(f.o.spec_count, 3);
    assert_string_equal(f.o.specs[0].name, "idle");
    assert_string_equal(f.o.specs[1].name, "p2p-qos0");
    assert_string_equal(f.o.specs[2].name, "idle");
    assert_true(f.o.specs[1].seconds == 2 && f.o.specs[2].seconds == 2);
    end(&f);

    assert_int_equal(parse(&f, "all -t 2"), REQUEST_RUN);
    for (size_t i = 0; i < f.o.spec_count; i++)
        assert_string_equal(f.o.specs[i].name, scenario_at(i)->name);
    assert_null(scenario_at(f.o.spec_count));
    end(&f);
}

static void other_requests(void **state)
{
    static const struct {
        const char *line;
        enum bench_request request;
    } rows[] = {
        { "list", REQUEST_LIST },
        { "--help", REQUEST_HELP },
        { "p2p-qos0 --nonsense --help", REQUEST_HELP },
        { "--version", REQUEST_VERSION },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture f;
        assert_int_equal(parse(&f, rows[i].line), rows[i].request);
        end(&f);
    }
}

static void nonsense_is_refused_with_a_reason(void **state)
{
    static const struct {
        const char *line, *reason;
    } rows[] = {
        { "", "which scenario?" },
        { "-t 5", "which scenario?" },
        { "p2p", "there is no scenario 'p2p'" },
        { "list p2p-qos0", "there is no scenario 'list'" },
        { "p2p-qos0 --cafile x", "there is no option '--cafile'" },
        { "p2p-qos0 -p", "-p needs a value" },
        { "p2p-qos0 -p 65536", "-p takes a number from 1 to 65535, not '65536'" },
        { "p2p-qos0 -p 80x", "-p takes a number from 1 to 65535, not '80x'" },
        { "p2p-qos0 --pid 0", "--pid takes a number from 1" },
        { "p2p-qos0 -V 31", "-V takes 311 or 5, not '31'" },
        { "p2p-qos0 -q 3", "-q takes a number from 0 to 2, not '3'" },
        { "p2p-qos0 -w 65536", "-w takes a number from 1 to 65535, not '65536'" },
        { "p2p-qos0 -w 0", "-w takes a number from 1 to 65535, not '0'" },
        { "p2p-qos0 --rate 0", "--rate takes a number from 1" },
        { "p2p-qos0 -t 0", "-t takes seconds from 0.01 to 86400, not '0'" },
        { "p2p-qos0 -t nan", "-t takes seconds" },
        { "p2p-qos0 --warm-up -1", "--warm-up takes seconds from 0" },
        { "p2p-qos0 -m 0", "-m takes a number from 1" },
        { "p2p-qos0 -P secret", "-P needs a user name" },
        { "p2p-qos0 -s 19", "p2p-qos0 needs payloads of at least 20 bytes" },
        { "p2p-qos0 --rate 5 -w 5", "p2p-qos0 is an open loop" },
        { "open-p2p -w 5", "open-p2p is an open loop" },
        { "p2p-qos0 --publishers 2 --subscribers 3", "p2p-qos0 is made of pairs" },
        { "p2p-qos0 --topics 5", "--topics means nothing to p2p-qos0" },
        { "p2p-qos0 --queued 5", "--queued means nothing to p2p-qos0" },
        { "drain -m 5", "drain needs as many messages for each of 100 sessions" },
        { "drain -m 1000000000000", "at most 10000000" },
        { "drain -m 100 --queued 1", "drain takes --queued or --messages" },
        { "durable-offline -q 0", "needs QoS 1 or 2" },
        { "idle -s 100", "--size means nothing to idle" },
        { "connect --rate 100", "--rate means nothing to connect" },
        { "all -q 1", "--qos means nothing to connect" },
        { "connect --relay", "connect needs a broker" },
        { "p2p-qos0 p2p-64k -w 5000", "p2p-64k would have 5000 messages" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture f;
        assert_int_equal(parse(&f, rows[i].line), REQUEST_BAD);
        assert_int_equal(buffer_append(&f.error, bytes_of("", 1)), 0);
        assert_non_null(strstr((const char *)f.error.data, rows[i].reason));
        end(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scenario_alone_is_the_row_of_the_table),
        cmocka_unit_test(options_are_stored),
        cmocka_unit_test(words_mean_the_same_as_letters),
        cmocka_unit_test(what_follows_from_options),
        cmocka_unit_test(several_scenarios_run_in_the_order_given),
        cmocka_unit_test(other_requests),
        cmocka_unit_test(nonsense_is_refused_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
