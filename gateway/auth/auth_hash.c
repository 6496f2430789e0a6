/*
 * auth_hash: method$salt$hex.
 *
 *   scrypt:N:r:p$salt$hex           64 bytes; without numbers 32768:8:1
 *   pbkdf2:DIGEST:ITERATIONS$...    as many bytes as the digest has; without numbers 1000000, without a
 *                                   digest sha256
 *
 * The salt is used as the bytes that stand there. What werkzeug raises an error for (an unknown method,
 * numbers that are none) is a hash that nothing matches, and so is one whose cost is out of all
 * proportion: a row must not be able to take the machine.
 */
#include "gateway/auth/auth_hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#define SCRYPT_NEW "scrypt:32768:8:1"

enum { HASH_MAX = 64, SALT_BYTES = 16, PBKDF2_DEFAULT = 1000000, PBKDF2_MOST = 10000000 };
/* Of memory, which is 128 * N * r; werkzeug's own takes 32 MiB. */
#define SCRYPT_BYTES_MOST ((uint64_t)256 << 20)
#define SCRYPT_P_MOST     16

/* A salt and a result that no password has: 64 zero bytes. */
#define ZEROS_32 "00000000000000000000000000000000"
const struct str auth_hash_of_nobody =
    STR_INIT(SCRYPT_NEW "$nobodyhasthissal$" ZEROS_32 ZEROS_32 ZEROS_32 ZEROS_32);

/* Cuts a number off; what there is of it has to be all digits. */
static bool hash_number(struct str *args, uint64_t *out)
{
    return str_to_u64(str_cut(args, ':'), out);
}

static bool hash_scrypt(struct str args, struct str salt, struct str password,
                        unsigned char out[HASH_MAX], size_t *n)
{
    uint64_t N = 32768, r = 8, p = 1;

    if (args.n &&
        (!hash_number(&args, &N) || !hash_number(&args, &r) || !hash_number(&args, &p) || args.n))
        return false;
    if (N < 2 || N > SCRYPT_BYTES_MOST || r < 1 || r > 1024 || p < 1 || p > SCRYPT_P_MOST ||
        128 * N * r > SCRYPT_BYTES_MOST)
        return false;
    *n = 64;
    return EVP_PBE_scrypt(password.p, password.n, (const unsigned char *)salt.p, salt.n, N, r, p,
                          132 * N * r * p + 1024, out, *n) == 1;
}

static bool hash_pbkdf2(struct str args, struct str salt, struct str password,
                        unsigned char out[HASH_MAX], size_t *n)
{
    static const char *const names[] = {"sha256", "sha512", "sha1", "sha224", "sha384"};
    struct str name = args.n ? str_cut(&args, ':') : STR("sha256");
    uint64_t iterations = PBKDF2_DEFAULT;
    const EVP_MD *digest = NULL;

    if (args.n && (!hash_number(&args, &iterations) || args.n))
        return false;
    for (size_t i = 0; i < array_len(names); i++) {
        if (str_eq(name, str_of(names[i])))
            digest = EVP_get_digestbyname(names[i]);
    }
    if (digest == NULL || iterations < 1 || iterations > PBKDF2_MOST)
        return false;
    *n = (size_t)EVP_MD_get_size(digest);
    return PKCS5_PBKDF2_HMAC(password.p, (int)password.n, (const unsigned char *)salt.p,
                             (int)salt.n, (int)iterations, digest, (int)*n, out) == 1;
}

static void hash_to_hex(const unsigned char *bytes, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++) {
        *out++ = "0123456789abcdef"[bytes[i] >> 4];
        *out++ = "0123456789abcdef"[bytes[i] & 15];
    }
}

bool auth_hash_matches(struct str hash, struct str password)
{
    struct str rest = hash;
    struct str args = str_cut(&rest, '$');
    struct str method = str_cut(&args, ':');
    size_t end = str_find(rest, '$');
    struct str salt = str_head(rest, end), want = str_skip(rest, end + 1);
    unsigned char bytes[HASH_MAX];
    char hex[2 * HASH_MAX];
    size_t n = 0;
    bool is_known;

    if (end == rest.n || password.n > INT32_MAX || salt.n > INT32_MAX)
        return false; /* no two '$' */
    is_known = str_eq(method, STR("scrypt"))   ? hash_scrypt(args, salt, password, bytes, &n)
               : str_eq(method, STR("pbkdf2")) ? hash_pbkdf2(args, salt, password, bytes, &n)
                                               : false;
    if (!is_known)
        return false;
    hash_to_hex(bytes, n, hex);
    return want.n == 2 * n && CRYPTO_memcmp(want.p, hex, 2 * n) == 0;
}

/* Letters and digits, each as likely: a byte beyond the last multiple of 62 is drawn again. */
static bool hash_salt(char out[SALT_BYTES])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

    for (size_t i = 0; i < SALT_BYTES;) {
        unsigned char byte;

        if (RAND_bytes(&byte, 1) != 1)
            return false;
        if (byte < 248)
            out[i++] = letters[byte % 62];
    }
    return true;
}

bool auth_hash_make(struct str password, char out[AUTH_HASH_BYTES + 1])
{
    unsigned char bytes[HASH_MAX];
    char salt[SALT_BYTES];
    size_t n;

    if (!hash_salt(salt) ||
        !hash_scrypt(STR(""), (struct str){salt, SALT_BYTES}, password, bytes, &n))
        return false;
    memcpy(out, SCRYPT_NEW "$", sizeof(SCRYPT_NEW));
    memcpy(out + sizeof(SCRYPT_NEW), salt, SALT_BYTES);
    out[sizeof(SCRYPT_NEW) + SALT_BYTES] = '$';
    hash_to_hex(bytes, n, out + sizeof(SCRYPT_NEW) + SALT_BYTES + 1);
    out[AUTH_HASH_BYTES] = '\0';
    return true;
}
