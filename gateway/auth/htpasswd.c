/*
 * htpasswd: name:hash, a line each.
 *
 *   $2y$..        bcrypt (htpasswd -B), also $2a$ and $2b$   crypt_r of libxcrypt
 *   $apr1$..      Apache's own variant of MD5-crypt (-m)     here
 *   {SHA}..       SHA-1 in base64, without a salt (-s)       here
 *   $5$.. $6$.. $1$.. $y$.., 13 characters of DES (-d)       crypt_r
 *
 * Plain text (-p) matches nothing. Blank lines and those that begin with '#' are passed over; of a name
 * that is there twice the first counts, as with Apache. What a line may cost is bounded: a hash whose
 * cost is out of all proportion matches nothing.
 *
 * The file is read once and then looked at for a change of inode, size or time, so it should be replaced by
 * a rename.
 */
#define _GNU_SOURCE
#include "gateway/auth/htpasswd.h"

#include <crypt.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/base64.h"
#include "base/idmap.h"
#include "schema/errors.h"

enum { FILE_MAX = 16 << 20, BCRYPT_MOST = 15, HASH_BYTES_MAX = 512, MD5_BYTES = 16 };
#define ROUNDS_MOST 5000000u

struct htpasswd {
    struct arena arena;
    struct idmap names; /* to the index of the hash */
    struct str *hashes;
    const char *path; /* of the settings */
    struct stat seen;
};

/* -- the file ---------------------------------------------------------------------------------- */

static err_t htpasswd_read(struct htpasswd *h, struct str *text, struct fail *f)
{
    FILE *file = fopen(h->path, "re");
    size_t n;
    char *bytes;

    if (file == NULL)
        return fail(f, ERR_SETTING, "auth_htpasswd: cannot read %s: %s", h->path, strerror(errno));
    if (fstat(fileno(file), &h->seen) != 0 || !S_ISREG(h->seen.st_mode) ||
        h->seen.st_size > FILE_MAX) {
        fclose(file);
        return fail(f, ERR_SETTING, "auth_htpasswd: %s is no file of less than 16 MiB", h->path);
    }
    bytes = arena_alloc(&h->arena, (size_t)h->seen.st_size + 1);
    n = fread(bytes, 1, (size_t)h->seen.st_size, file);
    fclose(file);
    *text = (struct str){bytes, n};
    return OK;
}

static err_t htpasswd_parse(struct htpasswd *h, struct str text, struct fail *f)
{
    size_t lines = 1, n = 0;

    for (size_t i = 0; i < text.n; i++)
        lines += text.p[i] == '\n';
    h->hashes = arena_array(&h->arena, lines, sizeof(*h->hashes));
    for (unsigned number = 1; text.n; number++) {
        struct str line = str_trim(str_cut(&text, '\n'));
        struct str name = line, hash;
        uint64_t *place;
        bool is_new;

        if (line.n == 0 || line.p[0] == '#')
            continue;
        name.n = str_find(line, ':');
        hash = str_skip(line, name.n + 1);
        hash.n = str_find(hash, ':'); /* Apache takes what follows for comment */
        if (name.n == 0 || hash.n == 0 || str_find(line, '\0') < line.n)
            return fail(f, ERR_SETTING, "auth_htpasswd: %s:%u: want name:hash", h->path, number);
        place = idmap_put(&h->names, name, &is_new);
        if (!is_new)
            continue;
        *place = n;
        h->hashes[n++] = hash;
    }
    return OK;
}

err_t htpasswd_open(const char *path, struct htpasswd **out, struct fail *f)
{
    struct htpasswd *h = calloc(1, sizeof(*h));
    struct str text;
    err_t e;

    check(h != NULL);
    h->path = path;
    arena_init(&h->arena, 4096);
    idmap_init(&h->names);
    if ((e = htpasswd_read(h, &text, f)) || (e = htpasswd_parse(h, text, f))) {
        htpasswd_close(h);
        h = NULL;
    }
    *out = h;
    return e;
}

void htpasswd_close(struct htpasswd *h)
{
    if (h == NULL)
        return;
    idmap_fini(&h->names);
    arena_fini(&h->arena);
    free(h);
}

bool htpasswd_is_old(const struct htpasswd *h)
{
    struct stat now;

    return stat(h->path, &now) == 0 &&
           (now.st_ino != h->seen.st_ino || now.st_size != h->seen.st_size ||
            now.st_mtim.tv_sec != h->seen.st_mtim.tv_sec ||
            now.st_mtim.tv_nsec != h->seen.st_mtim.tv_nsec);
}

struct str htpasswd_find(const struct htpasswd *h, struct str name)
{
    const uint64_t *place = h ? idmap_get(&h->names, name) : NULL;

    return place ? h->hashes[*place] : (struct str){0};
}

/* -- hashes ------------------------------------------------------------------------------------ */

static bool same(struct str a, struct str b)
{
    return a.n == b.n && CRYPTO_memcmp(a.p, b.p, a.n) == 0;
}

static bool sha_matches(struct str want, struct str password)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int n;
    struct arena a;
    bool is_same;

    if (EVP_Digest(password.p, password.n, digest, &n, EVP_sha1(), NULL) != 1)
        return false;
    arena_init(&a, 128);
    is_same = same(want, base64_encode(&a, (struct str){(const char *)digest, n}));
    arena_fini(&a);
    return is_same;
}

static void apr1_add(EVP_MD_CTX *c, struct str s)
{
    EVP_DigestUpdate(c, s.p, s.n);
}

static void apr1_end(EVP_MD_CTX *c, unsigned char out[MD5_BYTES])
{
    EVP_DigestFinal_ex(c, out, NULL);
    EVP_DigestInit_ex(c, NULL, NULL);
}

/* The digest that the thousand rounds begin with. */
static void apr1_first(EVP_MD_CTX *c, struct str password, struct str salt,
                       unsigned char out[MD5_BYTES])
{
    struct str mixed = {(const char *)out, MD5_BYTES};

    apr1_add(c, password);
    apr1_add(c, salt);
    apr1_add(c, password);
    apr1_end(c, out);
    apr1_add(c, password);
    apr1_add(c, STR("$apr1$"));
    apr1_add(c, salt);
    for (size_t left = password.n; left > 0; left -= left < MD5_BYTES ? left : MD5_BYTES)
        apr1_add(c, str_head(mixed, left));
    for (size_t i = password.n; i > 0; i >>= 1)
        apr1_add(c, i & 1 ? STR("\0") : str_head(password, 1));
    apr1_end(c, out);
}

static void apr1_digest(EVP_MD_CTX *c, struct str password, struct str salt,
                        unsigned char out[MD5_BYTES])
{
    struct str last = {(const char *)out, MD5_BYTES};

    apr1_first(c, password, salt, out);
    for (unsigned i = 0; i < 1000; i++) {
        apr1_add(c, i & 1 ? password : last);
        if (i % 3)
            apr1_add(c, salt);
        if (i % 7)
            apr1_add(c, password);
        apr1_add(c, i & 1 ? last : password);
        apr1_end(c, out);
    }
}

/* crypt's own base 64: the lowest six bits first. */
static char *apr1_letters(char *out, unsigned v, unsigned count)
{
    static const char letters[] =
        "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    for (; count > 0; count--, v >>= 6)
        *out++ = letters[v & 63];
    return out;
}

static bool apr1_matches(struct str rest, struct str password)
{
    struct str salt = str_head(str_cut(&rest, '$'), 8);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    unsigned char d[MD5_BYTES];
    char text[22], *out = text;
    bool can = c != NULL && EVP_DigestInit_ex(c, EVP_md5(), NULL) == 1;

    if (can) {
        apr1_digest(c, password, salt, d);
        for (unsigned i = 0; i < 5; i++)
            out = apr1_letters(out, (unsigned)(d[i] << 16 | d[i + 6] << 8 | d[i == 4 ? 5 : i + 12]),
                               4);
        (void)apr1_letters(out, d[11], 2);
    }
    EVP_MD_CTX_free(c);
    return can && same(rest, (struct str){text, sizeof(text)});
}

/* Costs no more than it may? */
static bool crypt_is_bounded(struct str hash)
{
    uint64_t n;

    if (str_starts(hash, STR("$2")))
        return hash.n > 6 && str_to_u64(str_head(str_skip(hash, 4), 2), &n) && n <= BCRYPT_MOST;
    if (str_starts(hash, STR("$5$rounds=")) || str_starts(hash, STR("$6$rounds="))) {
        struct str rest = str_skip(hash, 10);

        return str_to_u64(str_cut(&rest, '$'), &n) && n <= ROUNDS_MOST;
    }
    return hash.n == 13 || str_starts(hash, STR("$1$")) || str_starts(hash, STR("$5$")) ||
           str_starts(hash, STR("$6$")) || (str_starts(hash, STR("$y$j9T$")));
}

static bool crypt_matches(struct str hash, struct str password)
{
    char setting[HASH_BYTES_MAX], *text;
    struct crypt_data *data;
    const char *got;
    bool is_same;

    if (!crypt_is_bounded(hash) || hash.n >= sizeof(setting) ||
        str_find(password, '\0') < password.n || password.n >= CRYPT_MAX_PASSPHRASE_SIZE)
        return false;
    str_to_cstr(hash, setting, sizeof(setting));
    check((data = calloc(1, sizeof(*data))) != NULL && (text = malloc(password.n + 1)) != NULL);
    str_to_cstr(password, text, password.n + 1);
    got = crypt_r(text, setting, data);
    is_same = got != NULL && got[0] != '*' && same(str_of(got), hash);
    OPENSSL_cleanse(text, password.n);
    OPENSSL_cleanse(data, sizeof(*data));
    free(text);
    free(data);
    return is_same;
}

bool htpasswd_matches(struct str hash, struct str password)
{
    if (str_starts(hash, STR("{SHA}")))
        return sha_matches(str_skip(hash, 5), password);
    if (str_starts(hash, STR("$apr1$")))
        return apr1_matches(str_skip(hash, 6), password);
    return crypt_matches(hash, password);
}
