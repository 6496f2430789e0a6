/* sql_files: the files below schema/sql, taken in as base/text_file.h says. */
#include "schema/sql_files.h"

#include "base/check.h"
#include "base/text_file.h"

TEXT_FILE(sql_mlflow, "schema/sql/mlflow.sql");
TEXT_FILE(sql_auth, "schema/sql/auth.sql");
TEXT_FILE(sql_positions, "schema/sql/001_positions.sql");

const struct sql_file sql_files[] = {
    {1, "positions", sql_positions},
};
const size_t sql_file_count = array_len(sql_files);
