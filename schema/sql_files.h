/*
 * sql_files: the texts under schema/sql, inside the program.
 *
 * Constants, each terminated by a zero byte, so that a binary alone can create and upgrade a
 * database. Any thread. A new numbered file: one SQL_TEXT line and one row in sql_files.c.
 */
#ifndef SCHEMA_SQL_FILES_H
#define SCHEMA_SQL_FILES_H

#include <stddef.h>

/* One numbered file of our own schema. */
struct sql_file {
    int number;       /* as in the file's name; rising, without holes, from 1 */
    const char *name; /* the file's name without number and suffix */
    const char *text;
};

/* MLflow's whole schema, schema/sql/mlflow.sql. */
extern const char sql_mlflow[];
/* The tables of its basic-auth application, schema/sql/auth.sql. */
extern const char sql_auth[];

/* Schema sluice, in the order to apply. */
extern const struct sql_file sql_files[];
extern const size_t sql_file_count;

#endif
