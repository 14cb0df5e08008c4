#include "base/list.h"
#include "base/mailbox.h"
#include <pthread.h>
#include <semaphore.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { SENDERS = 4, MAILS = 50000 };

struct letter {
    struct mail mail;
    size_t sender;
    size_t number;
};

static struct letter *letter_of(struct mail *mail)
{
    return container_of(mail, struct letter, mail);
}

static void first_in_first_out(void **state)
{
    struct mailbox m;
    struct letter letters[5];
    mailbox_init(&m);
    assert_null(mailbox_take(&m));
    for (size_t i = 0; i < 5; i++) {
        letters[i].number = i;
        assert_false(mailbox_post(&m, &letters[i].mail)); /* nobody sleeps */
    }
    struct mail *mail = mailbox_take(&m);
    for (size_t i = 0; i < 5; i++, mail = mail->next)
        assert_int_equal(letter_of(mail)->number, i);
    assert_null(mail);
    assert_null(mailbox_take(&m));
}

static void one_wake_per_sleep(void **state)
{
    struct mailbox m;
    struct letter letters[4];
    mailbox_init(&m);
    assert_true(mailbox_sleep(&m));
    assert_true(mailbox_post(&m, &letters[0].mail));
    assert_false(mailbox_post(&m, &letters[1].mail)); /* woken already */
    mailbox_awake(&m);
    assert_false(mailbox_sleep(&m)); /* there is mail */
    assert_false(mailbox_post(&m, &letters[2].mail));
    assert_non_null(mailbox_take(&m));
    assert_true(mailbox_sleep(&m));
    mailbox_awake(&m);
    assert_false(mailbox_post(&m, &letters[3].mail));
}

/* Senders race; the receiver really sleeps when it says so, so a lost wake would hang the test. */
struct post_office {
    struct mailbox box;
    sem_t wake;
    struct letter letters[SENDERS][MAILS];
};

struct sender {
    struct post_office *office;
    size_t index;
};

static void *send_all(void *argument)
{
    struct sender *s = argument;
    for (size_t i = 0; i < MAILS; i++) {
        struct letter *letter = &s->office->letters[s->index][i];
        *letter = (struct letter){ .sender = s->index, .number = i };
        if (mailbox_post(&s->office->box, &letter->mail))
            sem_post(&s->office->wake);
    }
    return NULL;
}

static size_t receive_all(struct post_office *office)
{
    size_t expected[SENDERS] = { 0 }, received = 0, sleeps = 0;
    while (received < (size_t)SENDERS * MAILS) {
        struct mail *mail = mailbox_take(&office->box);
        if (mail == NULL && mailbox_sleep(&office->box)) {
            sleeps++;
            while (sem_wait(&office->wake) != 0) { /* interrupted */
            }
            mailbox_awake(&office->box);
        }
        for (; mail != NULL; mail = mail->next, received++) {
            struct letter *letter = letter_of(mail);
            assert_int_equal(letter->number, expected[letter->sender]);
            expected[letter->sender]++;
        }
    }
    return sleeps;
}

static void racing_senders(void **state)
{
    static struct post_office office;
    mailbox_init(&office.box);
    sem_init(&office.wake, 0, 0);
    pthread_t threads[SENDERS];
    struct sender senders[SENDERS];
    for (size_t i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){ &office, i };
        assert_int_equal(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    }
    size_t sleeps = receive_all(&office);
    for (size_t i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    assert_null(mailbox_take(&office.box));
    assert_true(sleeps <= (size_t)SENDERS * MAILS);
    sem_destroy(&office.wake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_in_first_out),
        cmocka_unit_test(one_wake_per_sleep),
        cmocka_unit_test(racing_senders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
