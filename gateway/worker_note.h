/*
 * worker_note: what the notes in a worker's inbox say. Constants.
 */
#ifndef GATEWAY_WORKER_NOTE_H
#define GATEWAY_WORKER_NOTE_H

enum worker_note {
    WORKER_LEAVE,    /* answers close their connections from now on */
    WORKER_DRAIN,    /* pos: until when */
    WORKER_SETTINGS, /* ref: the new snapshot */
    WORKER_BODY,     /* ref: the request whose body the helper has read */
    WORKER_NEWS,     /* ref: news.c's */
    WORKER_CHECKED,  /* ref: the login that was hashed */
    WORKER_LEARN,    /* ref: news of a user who is known, auth.c's */
    WORKER_FILE,     /* ref: the file of names and hashes, read anew */
    WORKER_TLS       /* ref: an SSL_CTX, with a reference that goes with it */
};

#endif
