/*
 * tls: one SSL_CTX for all workers, replaced and never changed.
 *
 * Files. Their stat(2) (device, inode, size, time of change) is looked at every second: Kubernetes
 * replaces a secret by renaming a symlink, which changes the inode behind the path, and an editor or
 * certbot changes one of the others. When any differs, all are read anew, and either all of it works
 * (the key belongs to the certificate, authorities and revocation lists parse) or the old context stays, a line is
 * logged and tls_reload_failures counts. Certificate and key that come one after the other are two changes: the first fails,
 * the second succeeds. Connections go on with the context that they began with.
 *
 * Tickets. A client that comes back shows the ticket it was given, and neither side computes a
 * signature. There is no cache of sessions in this process: the ticket is the session, under a key that all
 * workers have. A new key every hour; the two before it are still read, and who shows one of those gets
 * a new ticket. So a ticket is good for one to two hours, TICKET_LIFE_S, and what was recorded
 * cannot be opened with keys that are gone. With tls_client_ca a change of the files drops the old keys:
 * a ticket stands for a certificate that was checked against the old authorities.
 *
 * Keys of tickets are this process's own; another replica answers with a full handshake.
 */
#include "gateway/http/tls.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "schema/errors.h"

enum { TICKET_KEYS = 3, TICKET_LIFE_S = 7200, FILES = 4 };
#define TICKET_ROTATE_US (3600ull * 1000 * 1000)
#define TLS12_CIPHERS                                            \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

struct ticket_key {
    unsigned char name[16];
    unsigned char hmac[32];
    unsigned char aes[32];
};

/* Of one context; the first writes, all read. */
struct ticket_keys {
    struct ticket_key key[TICKET_KEYS];
    unsigned count;
};

/* What a file looked like when it was last read. */
struct tls_stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct tls {
    const char *paths[FILES]; /* certificate, key, authorities, revocation lists; "" = none */
    const char *names[FILES]; /* of the settings */
    struct tls_stamp stamps[FILES];
    struct ticket_keys keys;
    uint64_t rotate_us;
    SSL_CTX *context;
    struct stats *stats;
};

/* -- tickets ----------------------------------------------------------------------------------- */

static void ticket_keys_add(struct ticket_keys *k)
{
    memmove(k->key + 1, k->key, (TICKET_KEYS - 1) * sizeof(k->key[0]));
    check(RAND_bytes((unsigned char *)&k->key[0], sizeof(k->key[0])) == 1);
    if (k->count < TICKET_KEYS)
        k->count++;
}

static void ticket_keys_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl,
                             void *argp)
{
    (void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
    if (ptr)
        OPENSSL_cleanse(ptr, sizeof(struct ticket_keys));
    free(ptr);
}

/* Where a context has its keys, which go with it. The first call is the main thread's, in tls_open. */
static int tls_keys_index(void)
{
    static int index = -1;

    if (index < 0)
        index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, ticket_keys_free);
    check(index >= 0);
    return index;
}

static bool ticket_begin(const struct ticket_key *key, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, bool is_new)
{
    char digest[] = "SHA256";
    OSSL_PARAM terms[] = {OSSL_PARAM_construct_octet_string(
                              OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->hmac, sizeof(key->hmac)),
                          OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                          OSSL_PARAM_END};

    if (EVP_MAC_CTX_set_params(mac, terms) != 1)
        return false;
    if (is_new)
        return RAND_bytes(iv, EVP_MAX_IV_LENGTH) == 1 &&
               EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv) == 1;
    return EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv) == 1;
}

/* OpenSSL's call: 1 = go on, 2 = go on and give a new ticket, 0 = not ours, -1 = failed. */
static int ticket_on_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int is_new)
{
    const struct ticket_keys *k = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), tls_keys_index());

    if (is_new) {
        memcpy(name, k->key[0].name, sizeof(k->key[0].name));
        return ticket_begin(&k->key[0], iv, cipher, mac, true) ? 1 : -1;
    }
    for (unsigned i = 0; i < k->count; i++) {
        if (memcmp(name, k->key[i].name, sizeof(k->key[i].name)) != 0)
            continue;
        if (!ticket_begin(&k->key[i], iv, cipher, mac, false))
            return -1;
        return i == 0 ? 1 : 2;
    }
    return 0;
}

/* Would the certificate that came with the first handshake be taken today? Tickets are renewed as often as they
 * are used, so without this question nobody's certificate or revocation list would ever be past its time. A
 * ticket has no certificates in between: who needs them makes a whole handshake. */
static bool ticket_is_vouched_for(SSL *ssl, SSL_SESSION *session)
{
    SSL_CTX *c = SSL_get_SSL_CTX(ssl);
    X509 *peer = session ? SSL_SESSION_get0_peer(session) : NULL;
    X509_STORE_CTX *look;
    bool is_good;

    if (peer == NULL)
        return !(SSL_CTX_get_verify_mode(c) & SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
    check((look = X509_STORE_CTX_new()) != NULL);
    is_good = X509_STORE_CTX_init(look, SSL_CTX_get_cert_store(c), peer, NULL) == 1 &&
              X509_STORE_CTX_set_default(look, "ssl_client") == 1 && X509_verify_cert(look) == 1;
    X509_STORE_CTX_free(look);
    ERR_clear_error();
    return is_good;
}

/* OpenSSL's question what to do with a ticket that it has read, or could not. */
static SSL_TICKET_RETURN ticket_on_session(SSL *ssl, SSL_SESSION *session,
                                           const unsigned char *name, size_t n,
                                           SSL_TICKET_STATUS status, void *arg)
{
    (void)name, (void)n, (void)arg;
    if ((status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) ||
        !ticket_is_vouched_for(ssl, session))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

/* -- one context ------------------------------------------------------------------------------- */

static err_t tls_refuse(const struct tls *t, unsigned i, struct fail *f)
{
    unsigned long code = ERR_peek_error();
    const char *why = code ? ERR_reason_error_string(code) : NULL;
    err_t e = fail(f, ERR_SETTING, "cannot use %s (setting %s): %s", t->paths[i], t->names[i],
                   why ? why : "it does not fit the others");

    ERR_clear_error();
    return e;
}

/* Nobody is there to be asked: an encrypted key is an error. */
static int tls_on_passphrase(char *to, int size, int is_writing, void *arg)
{
    (void)to, (void)size, (void)is_writing, (void)arg;
    return -1;
}

/* We speak HTTP/1.1. Who offers protocols without it is told so (RFC 7301 3.2). */
static int tls_on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                       const unsigned char *in, unsigned in_n, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;

    (void)ssl, (void)arg;
    if (SSL_select_next_proto(&chosen, out_n, ours, sizeof(ours) - 1, in, in_n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static void tls_set_terms(SSL_CTX *c)
{
    SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
    check(SSL_CTX_set_cipher_list(c, TLS12_CIPHERS) == 1);
    SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                               SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    /* An idle connection keeps no buffers; a write takes what it can and may move. */
    SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(c, 1);
    SSL_CTX_set_alpn_select_cb(c, tls_on_alpn, NULL);
    SSL_CTX_set_default_passwd_cb(c, tls_on_passphrase);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(c, TICKET_LIFE_S);
    SSL_CTX_set_num_tickets(c, 1);
    check(SSL_CTX_set_session_id_context(c, (const unsigned char *)"sluice", 6) == 1);
}

static void tls_set_keys(SSL_CTX *c, const struct ticket_keys *keys)
{
    struct ticket_keys *copy = malloc(sizeof(*copy));

    check(copy != NULL);
    *copy = *keys;
    check(SSL_CTX_set_ex_data(c, tls_keys_index(), copy) == 1);
    check(SSL_CTX_set_tlsext_ticket_key_evp_cb(c, ticket_on_key) == 1);
    check(SSL_CTX_set_session_ticket_cb(c, NULL, ticket_on_session, NULL) == 1);
}

static err_t tls_load_authorities(const struct tls *t, SSL_CTX *c, struct fail *f)
{
    STACK_OF(X509_NAME) * names;

    if (t->paths[2][0] == '\0')
        return OK;
    if (SSL_CTX_load_verify_file(c, t->paths[2]) != 1 ||
        (names = SSL_load_client_CA_file(t->paths[2])) == NULL)
        return tls_refuse(t, 2, f);
    SSL_CTX_set_client_CA_list(c, names); /* c's now */
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return OK;
}

/* Certificates that their authorities have taken back. Every certificate of a client's chain is looked for, so
 * each authority needs a list; one that is missing or past its time ends handshakes as a revoked one does:
 * nobody knows then who is out. */
static err_t tls_load_revoked(const struct tls *t, SSL_CTX *c, struct fail *f)
{
    X509_STORE *store = SSL_CTX_get_cert_store(c);
    X509_LOOKUP *lookup;

    if (t->paths[3][0] == '\0')
        return OK;
    check((lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file())) != NULL);
    if (X509_load_crl_file(lookup, t->paths[3], X509_FILETYPE_PEM) < 1)
        return tls_refuse(t, 3, f);
    check(X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) == 1);
    return OK;
}

/* A context from the files as they are now; NULL with f. */
static SSL_CTX *tls_make(const struct tls *t, struct fail *f)
{
    SSL_CTX *c = SSL_CTX_new(TLS_server_method());
    err_t e = OK;

    check(c != NULL);
    ERR_clear_error();
    tls_set_terms(c);
    tls_set_keys(c, &t->keys);
    if (SSL_CTX_use_certificate_chain_file(c, t->paths[0]) != 1)
        e = tls_refuse(t, 0, f);
    else if (SSL_CTX_use_PrivateKey_file(c, t->paths[1], SSL_FILETYPE_PEM) != 1 ||
             SSL_CTX_check_private_key(c) != 1)
        e = tls_refuse(t, 1, f);
    else if ((e = tls_load_authorities(t, c, f)) == OK)
        e = tls_load_revoked(t, c, f);
    if (e) {
        SSL_CTX_free(c);
        return NULL;
    }
    return c;
}

/* -- files ------------------------------------------------------------------------------------- */

static struct tls_stamp tls_stamp_of(const char *path)
{
    struct tls_stamp stamp = {0};
    struct stat s;

    if (path[0] && stat(path, &s) == 0)
        stamp = (struct tls_stamp){s.st_dev, s.st_ino, s.st_size, s.st_mtim};
    return stamp;
}

static bool tls_stamp_is(const struct tls_stamp *a, const struct tls_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* Looks at the files; true when one is not what it was. */
static bool tls_note_stamps(struct tls *t)
{
    bool has_changed = false;

    for (unsigned i = 0; i < FILES; i++) {
        struct tls_stamp now = tls_stamp_of(t->paths[i]);

        has_changed = has_changed || !tls_stamp_is(&now, &t->stamps[i]);
        t->stamps[i] = now;
    }
    return has_changed;
}

static void tls_take(struct tls *t, SSL_CTX *c)
{
    SSL_CTX_free(t->context);
    t->context = c;
}

bool tls_reload(struct tls *t)
{
    struct ticket_keys old = t->keys;
    struct fail f;
    SSL_CTX *c;

    (void)tls_note_stamps(t); /* before reading: a change meanwhile is seen the next time */
    fail_init(&f, NULL);
    if (t->paths[2][0]) {
        t->keys.count = 0;
        ticket_keys_add(&t->keys);
    }
    if ((c = tls_make(t, &f)) == NULL) {
        t->keys = old;
        stat_add(t->stats, tls_reload_failures, 1);
        log_error("", "certificate not reloaded, the old one stays", "why=%.*s", STR_ARG(f.text));
        return false;
    }
    tls_take(t, c);
    log_info("", "certificate reloaded", "file=%s", t->paths[0]);
    return true;
}

/* The same certificate, with another key in front: what is read from the files again may have been
 * broken meanwhile, and then the old keys go on. */
static bool tls_rotate(struct tls *t)
{
    struct ticket_keys old = t->keys;
    struct fail f;
    SSL_CTX *c;

    t->rotate_us += TICKET_ROTATE_US;
    ticket_keys_add(&t->keys);
    fail_init(&f, NULL);
    if ((c = tls_make(t, &f)) == NULL) {
        t->keys = old;
        return false;
    }
    tls_take(t, c);
    return true;
}

bool tls_tend(struct tls *t)
{
    if (tls_note_stamps(t))
        return tls_reload(t);
    return clock_us() >= t->rotate_us && tls_rotate(t);
}

/* -- life -------------------------------------------------------------------------------------- */

err_t tls_open(const struct settings *s, struct stats *stats, struct tls **out, struct fail *f)
{
    struct tls *t = calloc(1, sizeof(*t));

    check(t != NULL);
    *t = (struct tls){.paths = {s->tls_cert, s->tls_key, s->tls_client_ca, s->tls_client_crl},
                      .names = {"tls_cert", "tls_key", "tls_client_ca", "tls_client_crl"},
                      .stats = stats,
                      .rotate_us = clock_us() + TICKET_ROTATE_US};
    ticket_keys_add(&t->keys);
    (void)tls_note_stamps(t);
    t->context = tls_make(t, f);
    if (t->context == NULL) {
        tls_close(t);
        return ERR_SETTING;
    }
    *out = t;
    return OK;
}

void tls_close(struct tls *t)
{
    if (t == NULL)
        return;
    SSL_CTX_free(t->context);
    OPENSSL_cleanse(&t->keys, sizeof(t->keys));
    free(t);
}

SSL_CTX *tls_context(const struct tls *t)
{
    return t->context;
}
