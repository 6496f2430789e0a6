/*
 * Tests of http/tls.c: contexts from files, and tickets over their keys' life. The client is OpenSSL's,
 * beside the server in one process; certificates are made here.
 */
#include "gateway/http/tls.c"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static struct {
    char folder[64];
    char cert[128], key[128], broken[128];
    struct stats *stats;
} x;

/* A certificate of its own authority, and its key. */
static void make(const char *cert, const char *key)
{
    EVP_PKEY *k = EVP_EC_gen("P-256");
    X509 *c = X509_new();
    FILE *f;

    check(k != NULL && c != NULL);
    X509_set_version(c, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c), 1);
    X509_gmtime_adj(X509_getm_notBefore(c), -60);
    X509_gmtime_adj(X509_getm_notAfter(c), 3600);
    X509_set_pubkey(c, k);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_ASC,
                               (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(c, X509_get_subject_name(c));
    check(X509_sign(c, k, EVP_sha256()) > 0);
    check((f = fopen(cert, "w")) != NULL && PEM_write_X509(f, c) == 1 && fclose(f) == 0);
    check((f = fopen(key, "w")) != NULL &&
          PEM_write_PrivateKey(f, k, NULL, NULL, 0, NULL, NULL) == 1 && fclose(f) == 0);
    X509_free(c);
    EVP_PKEY_free(k);
}

static int begin(void **state)
{
    FILE *f;

    (void)state;
    strcpy(x.folder, "/tmp/tls-XXXXXX");
    check(mkdtemp(x.folder) != NULL);
    snprintf(x.cert, sizeof(x.cert), "%s/cert", x.folder);
    snprintf(x.key, sizeof(x.key), "%s/key", x.folder);
    snprintf(x.broken, sizeof(x.broken), "%s/broken", x.folder);
    make(x.cert, x.key);
    check((f = fopen(x.broken, "w")) != NULL && fputs("no PEM\n", f) >= 0 && fclose(f) == 0);
    x.stats = stats_new();
    return 0;
}

static int end(void **state)
{
    char command[128];

    (void)state;
    stats_free(x.stats);
    snprintf(command, sizeof(command), "rm -r %s", x.folder);
    return system(command);
}

static struct tls *open_with(const char *ca)
{
    struct settings s = {
        .tls_cert = x.cert, .tls_key = x.key, .tls_client_ca = ca, .tls_client_crl = ""};
    struct tls *t = NULL;
    struct fail f;

    fail_init(&f, NULL);
    assert_int_equal(tls_open(&s, x.stats, &t, &f), OK);
    return t;
}

/* Both ends of a handshake, turn by turn; the client's session afterwards, for the caller to free. *was_short:
 * the ticket was taken. */
static SSL_SESSION *greet(SSL_CTX *server, SSL_SESSION *ticket, bool *was_short)
{
    SSL_CTX *terms = SSL_CTX_new(TLS_client_method());
    SSL *ours = SSL_new(server), *theirs = SSL_new(terms);
    SSL_SESSION *session;
    int fds[2], done = 0;
    char byte = 'x';

    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    SSL_set_fd(ours, fds[0]);
    SSL_set_fd(theirs, fds[1]);
    SSL_set_accept_state(ours);
    SSL_set_connect_state(theirs);
    if (ticket)
        SSL_set_session(theirs, ticket);
    for (int i = 0; i < 10 && done < 2; i++) {
        int client = SSL_do_handshake(theirs), server_done = SSL_do_handshake(ours);

        done = (client == 1) + (server_done == 1);
    }
    assert_int_equal(done, 2);
    assert_int_equal(SSL_write(ours, &byte, 1), 1);
    assert_int_equal(SSL_read(theirs, &byte, 1), 1); /* the ticket comes before it */
    *was_short = SSL_session_reused(theirs);
    session = SSL_get1_session(theirs);
    SSL_shutdown(theirs);
    SSL_free(ours);
    SSL_free(theirs);
    SSL_CTX_free(terms);
    close(fds[0]);
    close(fds[1]);
    return session;
}

static void rotate(struct tls *t)
{
    SSL_CTX *before = tls_context(t);

    t->rotate_us = clock_us();
    assert_true(tls_tend(t));
    assert_ptr_not_equal(tls_context(t), before);
}

static void test_a_ticket_lives_as_long_as_its_key(void **state)
{
    struct tls *t = open_with("");
    bool was_short;
    SSL_SESSION *first = greet(tls_context(t), NULL, &was_short);

    (void)state;
    assert_false(was_short);
    for (int i = 0; i < TICKET_KEYS; i++) {
        SSL_SESSION_free(greet(tls_context(t), first, &was_short));
        assert_true(was_short);
        rotate(t);
    }
    SSL_SESSION_free(greet(tls_context(t), first, &was_short));
    assert_false(was_short);
    SSL_SESSION_free(first);
    tls_close(t);
}

static void test_who_comes_with_an_old_key_gets_a_new_ticket(void **state)
{
    struct tls *t = open_with("");
    bool was_short;
    SSL_SESSION *s = greet(tls_context(t), NULL, &was_short);

    (void)state;
    for (int i = 0; i < 2 * TICKET_KEYS; i++) {
        SSL_SESSION *next;

        rotate(t);
        next = greet(tls_context(t), s, &was_short);
        assert_true(was_short);
        SSL_SESSION_free(s);
        s = next;
    }
    SSL_SESSION_free(s);
    tls_close(t);
}

static void test_a_context_outlives_its_replacement(void **state)
{
    struct tls *t = open_with("");
    SSL_CTX *held = tls_context(t);
    bool was_short;

    (void)state;
    check(SSL_CTX_up_ref(held) == 1);
    rotate(t);
    tls_close(t);
    SSL_SESSION_free(greet(held, NULL, &was_short));
    SSL_CTX_free(held);
}

static void test_a_reload_keeps_tickets_but_for_those_of_certificates(void **state)
{
    struct tls *t = open_with("");
    struct ticket_keys before = t->keys;

    (void)state;
    assert_true(tls_reload(t));
    assert_memory_equal(&t->keys, &before, sizeof(before));
    tls_close(t);
    t = open_with(x.cert);
    rotate(t);
    before = t->keys;
    assert_true(tls_reload(t));
    assert_int_equal(t->keys.count, 1);
    assert_memory_not_equal(&t->keys.key[0], &before.key[0], sizeof(before.key[0]));
    tls_close(t);
}

static void test_broken_files_leave_the_old_context(void **state)
{
    struct tls *t = open_with("");
    SSL_CTX *before = tls_context(t);
    struct stats_view v = {0};

    (void)state;
    assert_false(tls_tend(t)); /* nothing has changed */
    t->paths[0] = x.broken;
    assert_false(tls_tend(t));
    assert_ptr_equal(tls_context(t), before);
    assert_false(tls_tend(t)); /* said once */
    t->paths[0] = "/nowhere";
    assert_false(tls_tend(t));
    stats_sum(x.stats, &v);
    assert_int_equal(v.tls_reload_failures, 2);
    t->paths[0] = x.cert;
    assert_true(tls_tend(t));
    assert_ptr_not_equal(tls_context(t), NULL);
    tls_close(t);
}

static void test_what_cannot_work_is_named(void **state)
{
    struct settings s = {
        .tls_cert = x.cert, .tls_key = x.broken, .tls_client_ca = "", .tls_client_crl = ""};
    struct tls *t = NULL;
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    assert_int_equal(tls_open(&s, x.stats, &t, &f), ERR_SETTING);
    assert_null(t);
    s.tls_key = x.key;
    s.tls_client_ca = x.broken;
    assert_int_equal(tls_open(&s, x.stats, &t, &f), ERR_SETTING);
    s.tls_client_ca = x.cert;
    s.tls_client_crl = x.cert; /* a file of certificates is no list */
    assert_int_equal(tls_open(&s, x.stats, &t, &f), ERR_SETTING);
    s.tls_client_crl = "";
    assert_int_equal(tls_open(&s, x.stats, &t, &f), OK);
    tls_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_ticket_lives_as_long_as_its_key),
        cmocka_unit_test(test_who_comes_with_an_old_key_gets_a_new_ticket),
        cmocka_unit_test(test_a_context_outlives_its_replacement),
        cmocka_unit_test(test_a_reload_keeps_tickets_but_for_those_of_certificates),
        cmocka_unit_test(test_broken_files_leave_the_old_context),
        cmocka_unit_test(test_what_cannot_work_is_named),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
