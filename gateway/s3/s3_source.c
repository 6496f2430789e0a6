/*
 * s3_source: botocore's chain of credential providers, as far as a server needs it.
 *
 *   AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
 *   AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or the same of the profile      (EKS service accounts)
 *   the profile in the credentials file, then in the config file
 *   AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI                           (ECS, EKS pod identity)
 *   the instance's metadata service, unless AWS_EC2_METADATA_DISABLED             (EC2)
 *
 * Left out: roles that another profile assumes, SSO, credential_process. A full URI over http must be an
 * address of this host or of the two agents, as botocore has it: nobody who can set one variable sends the
 * token elsewhere.
 */
#include "gateway/s3/s3_source.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "gateway/artifact/uri.h"
#include "gateway/s3/s3_conf.h"
#include "gateway/say.h"
#include "schema/errors.h"

static struct str variable(const char *name)
{
    return str_of(getenv(name));
}

static bool is_one_line(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    return true;
}

static struct str of_profile(const struct s3_profile *p, const char *key)
{
    return s3_conf_ini(p->text, p->section, str_of(key));
}

static struct str or_else(struct str s, struct str other)
{
    return s.n ? s : other;
}

static bool load_environment(struct s3_source *s)
{
    s->access_key = variable("AWS_ACCESS_KEY_ID");
    s->secret_key = variable("AWS_SECRET_ACCESS_KEY");
    s->session_token = or_else(variable("AWS_SESSION_TOKEN"), variable("AWS_SECURITY_TOKEN"));
    return s->access_key.n && s->secret_key.n;
}

static bool load_file(struct s3_source *s, const struct s3_profile *p)
{
    s->access_key = of_profile(p, "aws_access_key_id");
    s->secret_key = of_profile(p, "aws_secret_access_key");
    s->session_token = of_profile(p, "aws_session_token");
    return s->access_key.n && s->secret_key.n;
}

/* Only a URL of http or https with a host; no path of its own when is_bare. */
static bool is_url(struct arena *a, struct str text, bool is_bare)
{
    struct uri u = uri_parse(a, text);

    return (str_eq(u.scheme, STR("http")) || str_eq(u.scheme, STR("https"))) && u.netloc.n > 0 &&
           is_one_line(text) && !(is_bare && (u.path.n > 1 || u.query.n || u.fragment.n));
}

static bool load_web_identity(struct s3_source *s, struct arena *a, const struct s3_profile *config,
                              struct str region)
{
    s->token_file = or_else(variable("AWS_WEB_IDENTITY_TOKEN_FILE"),
                            of_profile(config, "web_identity_token_file"));
    s->role = or_else(variable("AWS_ROLE_ARN"), of_profile(config, "role_arn"));
    s->session_name = or_else(variable("AWS_ROLE_SESSION_NAME"),
                              or_else(of_profile(config, "role_session_name"), STR("sluice")));
    s->url = or_else(variable("AWS_ENDPOINT_URL_STS"), variable("AWS_ENDPOINT_URL"));
    if (s->url.n == 0)
        s->url = SAY_TEXT(a, STR("https://sts."), region, STR(".amazonaws.com"));
    s->kind = S3_SOURCE_WEB_IDENTITY;
    return s->token_file.n && s->role.n;
}

/* A name that begins like an address is a name. */
static bool is_loopback(struct arena *a, struct str host)
{
    struct in_addr address;

    return str_eq(host, STR("localhost")) || str_eq(host, STR("::1")) ||
           (str_starts(host, STR("127.")) &&
            inet_pton(AF_INET, arena_cstr(a, host), &address) == 1);
}

/* May a token go there without TLS? */
static bool is_agent(struct arena *a, struct str url)
{
    struct uri u = uri_parse(a, url);
    struct str host = uri_host(a, &u);

    return str_eq(u.scheme, STR("https")) || is_loopback(a, host) ||
           str_eq(host, STR("169.254.170.2")) || str_eq(host, STR("169.254.170.23")) ||
           str_eq(host, STR("fd00:ec2::23"));
}

static bool load_container(struct s3_source *s, struct arena *a)
{
    struct str relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");

    s->url = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (relative.n)
        s->url = SAY_TEXT(a, STR("http://169.254.170.2"), relative);
    s->token_file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    s->token = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    s->kind = S3_SOURCE_CONTAINER;
    return s->url.n > 0;
}

static void load_instance(struct s3_source *s)
{
    bool is_6 = str_ieq(variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"), STR("ipv6"));

    s->kind = str_ieq(variable("AWS_EC2_METADATA_DISABLED"), STR("true")) ? S3_SOURCE_NOWHERE
                                                                          : S3_SOURCE_INSTANCE;
    s->url = or_else(variable("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
                     is_6 ? STR("http://[fd00:ec2::254]") : STR("http://169.254.169.254"));
}

static err_t judge(struct s3_source *s, struct arena *a, struct fail *f)
{
    if (!is_one_line(s->access_key) || !is_one_line(s->session_token) || !is_one_line(s->token) ||
        !is_one_line(s->role) || !is_one_line(s->session_name))
        return fail(f, ERR_SETTING, "an AWS_ variable holds a control character");
    if (s->kind == S3_SOURCE_GIVEN || s->kind == S3_SOURCE_NOWHERE)
        return OK;
    if (!is_url(a, s->url, s->kind != S3_SOURCE_CONTAINER))
        return fail(f, ERR_SETTING, "%.*s, which is to give credentials, is no URL of a host",
                    STR_ARG(s->url));
    if (s->kind == S3_SOURCE_CONTAINER && !is_agent(a, s->url))
        return fail(f, ERR_SETTING,
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI: %.*s is neither https nor an address of"
                    " this host or of an agent",
                    STR_ARG(s->url));
    while (s->kind != S3_SOURCE_CONTAINER && str_ends(s->url, STR("/")))
        s->url.n--;
    return OK;
}

err_t s3_source_load(struct s3_source *s, struct arena *a, const struct s3_profile files[2],
                     struct str region, struct fail *f)
{
    *s = (struct s3_source){.kind = S3_SOURCE_GIVEN};
    if (load_environment(s))
        return judge(s, a, f);
    *s = (struct s3_source){.kind = S3_SOURCE_GIVEN};
    if (load_web_identity(s, a, &files[1], region))
        return judge(s, a, f);
    *s = (struct s3_source){.kind = S3_SOURCE_GIVEN};
    if (load_file(s, &files[0]) || load_file(s, &files[1]))
        return judge(s, a, f);
    *s = (struct s3_source){.kind = S3_SOURCE_GIVEN};
    if (!load_container(s, a)) {
        *s = (struct s3_source){.kind = S3_SOURCE_GIVEN};
        load_instance(s);
    }
    return judge(s, a, f);
}
