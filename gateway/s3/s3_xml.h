/*
 * s3_xml: the answers of an S3 server, which are small XML documents, element by element.
 *
 *     s3_xml_init(&x, a, text);
 *     while (s3_xml_next(&x))
 *         if (s3_xml_is(&x, "Contents/Key")) ... x.text ...
 *
 * Every element that holds no other is met once, when it ends, with its text; every other one when it
 * ends, with what text it has. Namespaces are taken off. What is no XML ends the walk. Texts live in
 * the arena. Any thread.
 */
#ifndef GATEWAY_S3_XML_H
#define GATEWAY_S3_XML_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/str.h"

enum { S3_XML_DEPTH = 16 };

struct s3_xml {
    struct str text; /* of the element that has just ended */
    /* private */
    struct arena *arena;
    struct str rest;
    struct str names[S3_XML_DEPTH];
    unsigned depth; /* of the element that has just ended, or is open */
    bool has_ended;
    struct str raw;
};

void s3_xml_init(struct s3_xml *x, struct arena *a, struct str document);
must_check bool s3_xml_next(struct s3_xml *x);
/* Does the element that has just ended have this name, and its parents these? "Parent/Name". */
bool s3_xml_is(const struct s3_xml *x, const char *path);
/* The text of the first such element; empty when there is none. */
struct str s3_xml_find(struct arena *a, struct str document, const char *path);
/* s with &, <, > and quotes as entities, for a document of ours. */
struct str s3_xml_escape(struct arena *a, struct str s);

#endif
