/*
 * Three facts shape this file.
 *
 * PostgreSQL refuses to run as root. When we are root the cluster belongs to the user postgres,
 * which Debian's package creates; otherwise it belongs to whoever runs us.
 *
 * That user may not be able to enter data_dir (a clone under /root, mode 0700). Then the cluster
 * goes to /var/lib/sluice/<16 hex of XXH3 of data_dir's real path>, and a symbolic link data_dir/pg
 * points there: it says where things are, and it keeps a data_dir that is moved with its cluster.
 * A cluster that exists is never left for another place: if it can no longer be entered, that is
 * an error, not a reason to begin an empty one.
 *
 *     data_dir/pg             the cluster, or a link to it
 *     data_dir/pg.lock        held (flock) by the sluice that runs it        } or both under
 *     data_dir/pg.new.<pid>   a cluster being made; renamed when it is whole } /var/lib/sluice/...
 *
 * The path of a Unix socket fits 107 bytes, and libpq takes a comma in it for a list. The socket
 * lies in the cluster's own directory (mode 0700: who cannot enter it cannot connect, which is the
 * whole access control) unless that path is too long or odd; then in /run/sluice-<hash>, or
 * /tmp/sluice-<hash> when not root, made with mode 0700 and refused when it is somebody else's.
 */
#include "schema/cluster_place.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xxhash.h>

#include "schema/errors.h"

#define PLACE_USER     "postgres"
#define PLACE_FALLBACK "/var/lib/sluice"
/* sizeof(sun_path) less the terminating zero. */
#define PLACE_SOCKET_MAX 107
/* What a list of directories, libpq or a shell would not take as part of a name. */
#define PLACE_ODD ",\"'\\ \t\n"

err_t cluster_path(char *out, struct fail *f, const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(out, CLUSTER_PATH_MAX, fmt, args);
    va_end(args);
    if (n < 0 || n >= CLUSTER_PATH_MAX)
        return fail(f, ERR_SETTING, "data_dir: the path is too long: %.60s...", out);
    return OK;
}

/* --- as whom ----------------------------------------------------------------------------------- */

static err_t place_find_user(struct cluster_place *p, struct fail *f)
{
    struct passwd *user;

    p->uid = geteuid();
    p->gid = getegid();
    p->drops_user = p->uid == 0;
    if (!p->drops_user)
        return OK;
    if (!(user = getpwnam(PLACE_USER)) || user->pw_uid == 0)
        return fail(f, ERR_SETTING,
                    "The private PostgreSQL cannot run as root and there is no user " PLACE_USER
                    ": install PostgreSQL, or give pg_uri.");
    p->uid = user->pw_uid;
    p->gid = user->pw_gid;
    p->group_count = CLUSTER_GROUPS_MAX;
    if (getgrouplist(PLACE_USER, p->gid, p->groups, &p->group_count) < 0)
        p->group_count = CLUSTER_GROUPS_MAX; /* the rest of so many groups will not matter */
    return OK;
}

bool cluster_place_become(const struct cluster_place *p)
{
    if (!p->drops_user)
        return true;
    return setgroups((size_t)p->group_count, p->groups) == 0 && setgid(p->gid) == 0 &&
           setuid(p->uid) == 0;
}

/* May the cluster's user enter dir? Asked of the kernel, by a child that becomes that user. */
static bool place_can_enter(const struct cluster_place *p, const char *dir)
{
    int status = 1;
    pid_t child;

    if (!p->drops_user)
        return access(dir, X_OK) == 0;
    if ((child = fork()) == 0)
        _exit(cluster_place_become(p) && chdir(dir) == 0 ? 0 : 1);
    if (child < 0)
        return false;
    /* The child makes a handful of system calls: no deadline is needed. */
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return status == 0;
}

/* --- where ------------------------------------------------------------------------------------- */

static unsigned long long place_hash(const char *path)
{
    return (unsigned long long)XXH3_64bits(path, strlen(path));
}

static bool place_holds_cluster(const char *dir)
{
    char path[CLUSTER_PATH_MAX];
    struct stat st;

    return cluster_path(path, NULL, "%s/PG_VERSION", dir) == OK && stat(path, &st) == 0;
}

/* Fills base and dir. A cluster that exists wins; of none, data_dir if it can be entered. */
static err_t place_find_dir(struct cluster_place *p, struct fail *f)
{
    char resolved[CLUSTER_PATH_MAX];
    char elsewhere[CLUSTER_PATH_MAX];
    err_t e;

    if ((e = cluster_path(p->base, f, "%s", p->data_dir)) ||
        (e = cluster_path(p->dir, f, "%s/pg", p->data_dir)) ||
        (e = cluster_path(elsewhere, f, PLACE_FALLBACK "/%016llx", place_hash(p->data_dir))))
        return e;
    if (place_holds_cluster(p->dir)) {
        if (!realpath(p->dir, resolved))
            return fail(f, ERR_SETTING, "data_dir: %s: %s", p->dir, strerror(errno));
        memcpy(p->dir, resolved, sizeof(resolved));
        memcpy(p->base, resolved, sizeof(resolved));
        *strrchr(p->base, '/') = '\0';
        p->has_cluster = true;
    } else {
        if ((e = cluster_path(resolved, f, "%s/pg", elsewhere)))
            return e;
        p->has_cluster = place_holds_cluster(resolved);
        if (p->has_cluster || (p->drops_user && !place_can_enter(p, p->data_dir))) {
            memcpy(p->base, elsewhere, sizeof(elsewhere));
            memcpy(p->dir, resolved, sizeof(resolved));
        }
    }
    p->is_elsewhere = strcmp(p->base, p->data_dir) != 0;
    return OK;
}

/* A cluster that exists must be the user's own and in reach. */
static err_t place_check_cluster(const struct cluster_place *p, struct fail *f)
{
    struct stat st;

    if (!p->has_cluster)
        return OK;
    if (stat(p->dir, &st) != 0)
        return fail(f, ERR_SETTING, "The private PostgreSQL in %s: %s", p->dir, strerror(errno));
    if (st.st_uid != p->uid)
        return fail(f, ERR_SETTING,
                    "The private PostgreSQL in %s belongs to user id %u, but would run as %u: run "
                    "sluice as the user that created it.",
                    p->dir, (unsigned)st.st_uid, (unsigned)p->uid);
    if (!place_can_enter(p, p->dir))
        return fail(f, ERR_SETTING,
                    "User id %u can no longer enter %s, where its PostgreSQL is: give back the "
                    "right to pass through the directories above it.",
                    (unsigned)p->uid, p->dir);
    return OK;
}

static err_t place_find_socket(struct cluster_place *p, struct fail *f)
{
    char path[CLUSTER_PATH_MAX];
    err_t e;

    if ((e = cluster_path(path, f, "%s/.s.PGSQL.%d", p->dir, CLUSTER_PORT)))
        return e;
    if (strlen(path) <= PLACE_SOCKET_MAX && !path[strcspn(path, PLACE_ODD)])
        return cluster_path(p->sock, f, "%s", p->dir);
    return cluster_path(p->sock, f, "%s/sluice-%016llx", p->drops_user ? "/run" : "/tmp",
                        place_hash(p->dir));
}

err_t cluster_place_find(const char *data_dir, struct cluster_place *p, struct fail *f)
{
    err_t e;

    memset(p, 0, sizeof(*p));
    if (!realpath(data_dir, p->data_dir))
        return fail(f, ERR_SETTING, "data_dir: %s: %s", data_dir, strerror(errno));
    if ((e = place_find_user(p, f)) || (e = place_find_dir(p, f)) ||
        (e = place_check_cluster(p, f)))
        return e;
    return place_find_socket(p, f);
}

/* --- programs ------------------------------------------------------------------------------------ */

static bool place_has_programs(const char *dir)
{
    const char *const names[] = {"initdb", "postgres"};
    char path[CLUSTER_PATH_MAX];

    for (size_t i = 0; i < array_len(names); i++)
        if (cluster_path(path, NULL, "%s/%s", dir, names[i]) || access(path, X_OK) != 0)
            return false;
    return true;
}

/* The newest directory of the two usual layouts; version numbers compare as numbers. */
static bool place_newest_bin(char *out)
{
    const char *const patterns[] = {"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"};
    long newest = -1;

    for (size_t i = 0; i < array_len(patterns); i++) {
        glob_t found;
        size_t prefix = strcspn(patterns[i], "*");

        if (glob(patterns[i], 0, NULL, &found) != 0)
            continue;
        for (size_t k = 0; k < found.gl_pathc; k++) {
            long version = strtol(found.gl_pathv[k] + prefix, NULL, 10);

            if (version > newest && place_has_programs(found.gl_pathv[k]) &&
                cluster_path(out, NULL, "%s", found.gl_pathv[k]) == OK)
                newest = version;
        }
        globfree(&found);
    }
    return newest >= 0;
}

/* The programs of the version that made the cluster: no other can run it. */
static bool place_same_version_bin(const struct cluster_place *p, char *out)
{
    const char *const prefixes[] = {"/usr/lib/postgresql/", "/usr/pgsql-"};
    char path[CLUSTER_PATH_MAX];
    char version[16] = "";
    FILE *file;

    if (!p->has_cluster || cluster_path(path, NULL, "%s/PG_VERSION", p->dir) ||
        !(file = fopen(path, "re")))
        return false;
    if (fgets(version, sizeof(version), file))
        version[strcspn(version, "\n")] = '\0';
    fclose(file);
    for (size_t i = 0; i < array_len(prefixes) && version[0]; i++)
        if (cluster_path(out, NULL, "%s%s/bin", prefixes[i], version) == OK &&
            place_has_programs(out))
            return true;
    return false;
}

static bool place_path_bin(char *out)
{
    struct str path = str_of(getenv("PATH"));

    while (path.n > 0) {
        struct str dir = str_cut(&path, ':');

        if (dir.n > 0 && cluster_path(out, NULL, "%.*s", STR_ARG(dir)) == OK &&
            place_has_programs(out))
            return true;
    }
    return false;
}

err_t cluster_place_bin(const struct cluster_place *p, const char *bin_dir, char *out,
                        struct fail *f)
{
    if (bin_dir && bin_dir[0]) {
        if (!place_has_programs(bin_dir))
            return fail(f, ERR_SETTING, "pg_bin_dir: no initdb and postgres in %s", bin_dir);
        return cluster_path(out, f, "%s", bin_dir);
    }
    if (place_same_version_bin(p, out) || place_path_bin(out) || place_newest_bin(out))
        return OK;
    return fail(f, ERR_SETTING,
                "No PostgreSQL programs found (initdb, postgres) for the private database: install "
                "PostgreSQL, or give pg_bin_dir or pg_uri.");
}

/* --- directories --------------------------------------------------------------------------------- */

/* A directory that must be uid's, closed to others: created, or found so. */
static err_t place_private_dir(const char *path, uid_t uid, gid_t gid, struct fail *f)
{
    struct stat st;

    if (mkdir(path, 0700) == 0 && lchown(path, uid, gid) != 0)
        return fail(f, ERR_SETTING, "%s: %s", path, strerror(errno));
    if (lstat(path, &st) != 0)
        return fail(f, ERR_SETTING, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode) || st.st_uid != uid || (st.st_mode & 077) != 0)
        return fail(f, ERR_SETTING,
                    "%s must be a directory of user id %u with mode 0700, for PostgreSQL's socket: "
                    "remove what is there.",
                    path, (unsigned)uid);
    return OK;
}

err_t cluster_place_make(const struct cluster_place *p, struct fail *f)
{
    if (p->is_elsewhere && !p->has_cluster) {
        /* 0755: the cluster's user passes through, only root writes. */
        if ((mkdir(PLACE_FALLBACK, 0755) != 0 && errno != EEXIST) ||
            (mkdir(p->base, 0755) != 0 && errno != EEXIST) || chmod(PLACE_FALLBACK, 0755) != 0 ||
            chmod(p->base, 0755) != 0)
            return fail(f, ERR_SETTING, "%s, for the private PostgreSQL: %s", p->base,
                        strerror(errno));
    }
    if (strcmp(p->sock, p->dir) == 0)
        return OK;
    return place_private_dir(p->sock, p->uid, p->gid, f);
}

void cluster_place_uri(const char *sock, int port, char *out)
{
    static const char hex[] = "0123456789ABCDEF";
    int n = snprintf(out, CLUSTER_URI_MAX, "postgresql://sluice@:%d/sluice?host=", port);
    char *to = out + n;
    const char *end = out + CLUSTER_URI_MAX - 4;

    /* Everything that either reader might take for syntax: SQLAlchemy reads + as a blank. */
    for (const unsigned char *s = (const unsigned char *)sock; *s && to < end; s++) {
        bool is_plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                        (*s >= '0' && *s <= '9') || strchr("/._-~", *s);

        if (is_plain) {
            *to++ = (char)*s;
        } else {
            *to++ = '%';
            *to++ = hex[*s >> 4];
            *to++ = hex[*s & 15];
        }
    }
    *to = '\0';
}
