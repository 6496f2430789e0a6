/*
 * api_signup: the page on which an admin makes a user, and what becomes of its form.
 *
 * MLflow's page, words and order: the token first, then the type, then the fields. The answer is a page of one
 * script, which says what happened and goes on. What stands in it is escaped for HTML, as MLflow does it, and a
 * backslash for the script as well, so that no name leaves its quotes.
 *
 * Behind TLS the form must come from a page of this host (Referer), which is Flask-WTF's rule.
 */
#include <string.h>

#include "base/clock.h"
#include "gateway/api/api.h"
#include "gateway/auth/auth_hash.h"
#include "gateway/auth/csrf.h"
#include "gateway/auth/may_input.h"
#include "gateway/auth/user.h"
#include "gateway/http/forwarded.h"
#include "gateway/http/reply.h"
#include "gateway/req_aside.h"
#include "gateway/req_user.h"
#include "gateway/worker.h"
#include "ingest/input.h"
#include "schema/errors.h"

#define TEXT_HTML "text/html; charset=utf-8"
#define FORM_TYPE "application/x-www-form-urlencoded"

struct signup_call {
    struct str name, password;
    bool is_made;
    char hash[AUTH_HASH_BYTES + 1];
};

static const char page_begin[] =
    "<!doctype html>\n<html lang=\"en\">\n<title>MLflow: sign up</title>\n<style>\n"
    "  form { background-color: #F5F5F5; border: 1px solid #CCCCCC; border-radius: 4px;\n"
    "    padding: 20px; max-width: 400px; margin: 0 auto; font-family: Arial, sans-serif;\n"
    "    font-size: 14px; line-height: 1.5; }\n"
    "  input[type=text], input[type=password] { width: 100%; padding: 10px; margin-bottom: 10px;\n"
    "    border: 1px solid #CCCCCC; border-radius: 4px; box-sizing: border-box; }\n"
    "  input[type=submit] { background-color: rgb(34, 114, 180); color: #FFFFFF; border: none;\n"
    "    border-radius: 4px; padding: 10px 20px; cursor: pointer; font-size: 16px;\n"
    "    font-weight: bold; }\n"
    "  input[type=submit]:hover { background-color: rgb(14, 83, 139); }\n"
    "</style>\n";

static const char page_form[] =
    "  <label for=\"username\">Username:</label>\n  <br>\n"
    "  <input type=\"text\" id=\"username\" name=\"username\" minlength=\"4\">\n  <br>\n"
    "  <label for=\"password\">Password:</label>\n  <br>\n"
    "  <input type=\"password\" id=\"password\" name=\"password\" minlength=\"12\">\n  <br>\n"
    "  <br>\n  <input type=\"submit\" value=\"Sign up\">\n</form>\n";

static struct str signup_secret(const struct req *r)
{
    return str_of(r->worker->settings->auth_secret_key);
}

err_t api_signup_page(struct req *r, struct fail *f)
{
    struct csrf c;

    if (!csrf_make(&r->arena, signup_secret(r), may_header(r->may, "cookie"),
                   (uint64_t)(clock_wall_ms() / 1000), &c))
        return fail(f, ERR_INTERNAL, "There are no random bytes for a token.");
    reply_header(r, "set-cookie", "session=%.*s; HttpOnly; Path=/", STR_ARG(c.session));
    reply_header(r, "vary", "Cookie");
    return reply_text(r, 200, TEXT_HTML,
                      arena_printf(&r->arena,
                                   "%s<form action=\"%s/api/2.0/mlflow/users/create-ui\" "
                                   "method=\"post\">\n  <input type=\"hidden\" "
                                   "name=\"csrf_token\" value=\"%.*s\"/>\n%s",
                                   page_begin, r->worker->settings->static_prefix, STR_ARG(c.token),
                                   page_form));
}

/* -- the form ---------------------------------------------------------------------------------- */

static err_t signup_bad(struct req *r, const char *words)
{
    return reply_text(r, 400, TEXT_HTML,
                      arena_printf(&r->arena,
                                   "<!doctype html>\n<html lang=en>\n<title>400 Bad Request</title>"
                                   "\n<h1>Bad Request</h1>\n<p>%s</p>\n",
                                   words));
}

/* In quotes of a script, within HTML. */
static void signup_escape(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];

        if (c == '&' || c == '<' || c == '>' || c == '"' || c == '\'')
            buf_printf(out, "&%s;",
                       c == '&'   ? "amp"
                       : c == '<' ? "lt"
                       : c == '>' ? "gt"
                       : c == '"' ? "#34"
                                  : "#39");
        else if (c == '\\')
            buf_add_str(out, STR("\\\\"));
        else
            buf_add_byte(out, (unsigned char)c < ' ' ? ' ' : c);
    }
}

static err_t signup_alert(struct req *r, const char *words, struct str name, const char *where)
{
    struct buf out;
    struct str page;

    buf_init(&out);
    buf_printf(&out, "\n<script type = \"text/javascript\">\n      alert(\"%s: ", words);
    signup_escape(&out, name);
    buf_printf(&out, "\");\n      window.location.href = \"%s%s\";\n</script>",
               str_eq(str_of(where), STR("/")) ? r->worker->settings->static_prefix : "", where);
    page = arena_dup(&r->arena, buf_str(&out));
    buf_fini(&out);
    reply_header(r, "vary", "Cookie");
    return reply_text(r, 200, TEXT_HTML, page);
}

static struct str signup_field(const struct input_pair *form, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(form[i].name, str_of(name)))
            return form[i].value;
    }
    return (struct str){0};
}

/* NULL when the form was sent from our page by who had it. */
static const char *signup_refusal(struct req *r, struct str token)
{
    struct str referer = may_header(r->may, "referer"), host;
    const char *words;

    if (token.n == 0)
        token = may_header(r->may, "x-csrftoken");
    words = csrf_refusal(signup_secret(r), may_header(r->may, "cookie"), token,
                         (uint64_t)(clock_wall_ms() / 1000));
    if (words || !forwarded_is_https(r))
        return words;
    if (referer.n == 0)
        return "The referrer header is missing.";
    host = forwarded_url(r, STR("/"));
    return str_starts(referer, host) ? NULL : "The referrer does not match the host.";
}

static err_t signup_done(struct req *r, struct fail *f)
{
    const struct signup_call *c = r->data;

    (void)f;
    if (PQntuples(r->sql.results[0]) == 0)
        return signup_alert(r, "Username has already been taken", c->name, "/signup");
    auth_forget(r->worker, c->name); /* as nobody */
    return signup_alert(r, "Successfully signed up user", c->name, "/");
}

static void signup_hash(void *arg)
{
    struct signup_call *c = ((struct req *)arg)->data;

    c->is_made = auth_hash_make(c->password, c->hash);
}

static err_t signup_write(struct req *r, struct fail *f)
{
    struct signup_call *c = r->data;
    struct sql_step step;

    if (!c->is_made)
        return fail(f, ERR_INTERNAL, "There are no random bytes for a salt.");
    step = user_insert(&r->arena, c->name, str_of(c->hash), false);
    return req_users_sql(r, &step, 1, signup_done);
}

err_t api_signup_form(struct req *r, struct fail *f)
{
    struct signup_call *c = r->data = arena_zalloc(&r->arena, sizeof(*c));
    struct str type = r->input.has_content_type ? r->input.content_type : STR(""), rest = type;
    bool is_form = str_ieq(str_trim(str_cut(&rest, ';')), STR(FORM_TYPE));
    struct input_pair *form = NULL;
    const char *refusal;
    size_t n = 0;
    err_t e;

    if (is_form)
        form = input_query(&r->arena, r->input.body, &n);
    if ((refusal = signup_refusal(r, signup_field(form, n, "csrf_token"))))
        return signup_bad(r, refusal);
    if (!str_eq(type, STR(FORM_TYPE)))
        return reply_text(r, 400, TEXT_HTML, STR("Invalid content type. Must be " FORM_TYPE));
    c->name = signup_field(form, n, "username");
    c->password = signup_field(form, n, "password");
    if (c->name.p == NULL || c->password.p == NULL)
        return signup_bad(r, "The browser (or proxy) sent a request that this server could not "
                             "understand.");
    if (c->name.n == 0 || c->password.n == 0)
        return reply_text(r, 400, TEXT_HTML, STR("Username and password cannot be empty."));
    if (str_find(c->name, '\0') < c->name.n || str_find(c->password, '\0') < c->password.n)
        return fail(f, ERR_BAD_REQUEST, "A field holds what PostgreSQL takes none of.");
    if ((e = user_check_password(c->password, f)))
        return e;
    return req_hash(r, c->name, signup_hash, signup_write);
}
