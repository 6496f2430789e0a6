/* secure: hands are shaken with whom the authority has signed and nobody else, bytes go both ways. */
#include "loadtest/secure.c"

#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static char ca_file[] = "/tmp/secure-XXXXXX";
static SSL_CTX *server_context;
static struct fail f;

struct scene {
    int fds[2];
    SSL_CTX *context;
    SSL *client;
    SSL *server;
};

/* A certificate for localhost and 127.0.0.1 that has signed itself. */
static X509 *certificate(EVP_PKEY *key)
{
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);
    X509_EXTENSION *names =
        X509V3_EXT_nconf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");

    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"t", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    X509_set_pubkey(cert, key);
    assert_non_null(names);
    X509_add_ext(cert, names, -1);
    X509_EXTENSION_free(names);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    return cert;
}

static int setup_all(void **state)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = certificate(key);
    FILE *file = fdopen(mkstemp(ca_file), "w");

    (void)state;
    fail_init(&f, NULL);
    assert_int_equal(PEM_write_X509(file, cert), 1);
    fclose(file);
    server_context = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(server_context, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server_context, key), 1);
    X509_free(cert);
    EVP_PKEY_free(key);
    return 0;
}

static int teardown_all(void **state)
{
    (void)state;
    SSL_CTX_free(server_context);
    unlink(ca_file);
    return 0;
}

static void scene_open(struct scene *s, const char *ca, bool is_unchecked, const char *host)
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s->fds), 0);
    assert_int_equal(secure_open(ca, is_unchecked, &s->context, &f), OK);
    s->client = secure_session(s->context, s->fds[0], host);
    s->server = SSL_new(server_context);
    SSL_set_fd(s->server, s->fds[1]);
    SSL_set_accept_state(s->server);
}

static void scene_close(struct scene *s)
{
    SSL_free(s->client);
    SSL_free(s->server);
    secure_close(s->context);
    close(s->fds[0]);
    close(s->fds[1]);
}

/* Both sides in turns, until the client knows. */
static enum secure_step shake(struct scene *s)
{
    for (int i = 0; i < 20; i++) {
        enum secure_step step = secure_shake(s->client);

        if (step != SECURE_WANTS_READ)
            return step;
        SSL_do_handshake(s->server);
    }
    fail_msg("no end of it");
    return SECURE_FAILED;
}

static void test_bytes_go_both_ways(void **state)
{
    struct scene s;
    char bytes[32];

    (void)state;
    scene_open(&s, ca_file, false, "localhost");
    assert_int_equal(shake(&s), SECURE_DONE);
    SSL_do_handshake(s.server);
    assert_int_equal(secure_recv(s.client, bytes, sizeof(bytes)), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(secure_send(s.client, "hello", 5), 5);
    assert_int_equal(SSL_read(s.server, bytes, sizeof(bytes)), 5);
    assert_int_equal(SSL_write(s.server, "back", 4), 4);
    assert_int_equal(secure_recv(s.client, bytes, sizeof(bytes)), 4);
    assert_memory_equal(bytes, "back", 4);
    scene_close(&s);
}

static void test_a_full_socket_and_an_end(void **state)
{
    static char much[1 << 20];
    struct scene s;
    ssize_t n = 1;

    (void)state;
    scene_open(&s, ca_file, false, "127.0.0.1");
    assert_int_equal(shake(&s), SECURE_DONE);
    while (n > 0)
        n = secure_send(s.client, much, sizeof(much));
    assert_int_equal(n, -1);
    assert_int_equal(errno, EAGAIN);
    SSL_do_handshake(s.server);
    SSL_shutdown(s.server);
    while ((n = secure_recv(s.client, much, sizeof(much))) < 0)
        assert_int_equal(errno, EAGAIN);
    assert_int_equal(n, 0);
    scene_close(&s);
}

static void refused(const char *ca, const char *host, const char *why)
{
    struct scene s;

    scene_open(&s, ca, false, host);
    assert_int_equal(shake(&s), SECURE_FAILED);
    assert_string_equal(secure_why(s.client), why);
    scene_close(&s);
}

static void test_who_is_refused(void **state)
{
    (void)state;
    refused("", "localhost", "self-signed certificate");
    refused(ca_file, "elsewhere", "hostname mismatch");
    refused(ca_file, "127.0.0.2", "IP address mismatch");
}

static void test_unchecked(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s, "", true, "elsewhere");
    assert_int_equal(shake(&s), SECURE_DONE);
    scene_close(&s);
}

static void test_no_such_file(void **state)
{
    SSL_CTX *context;

    (void)state;
    assert_int_equal(secure_open("/nowhere", false, &context, &f), ERR_SETTING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_go_both_ways), cmocka_unit_test(test_a_full_socket_and_an_end),
        cmocka_unit_test(test_who_is_refused),     cmocka_unit_test(test_unchecked),
        cmocka_unit_test(test_no_such_file),
    };

    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
