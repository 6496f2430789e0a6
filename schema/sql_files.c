/*
 * The files are taken in by the assembler's .incbin: no generated source, no tool to build first,
 * and gcc and clang both know it. Paths are from the root of the repository, where the compiler
 * runs. The compiler's own dependency output does not see .incbin; the Makefile has a line for it.
 */
#include "schema/sql_files.h"

#include "base/check.h"

#define SQL_TEXT(symbol, file)                           \
    __asm__(".pushsection .rodata\n"                     \
            ".global " #symbol "\n"                      \
            ".hidden " #symbol "\n"                      \
            ".type " #symbol ", %object\n" #symbol ":\n" \
            ".incbin \"schema/sql/" file "\"\n"          \
            ".byte 0\n"                                  \
            ".size " #symbol ", . - " #symbol "\n"       \
            ".popsection\n");                            \
    extern const char symbol[] __attribute__((visibility("hidden")))

SQL_TEXT(sql_mlflow, "mlflow.sql");
SQL_TEXT(sql_auth, "auth.sql");
SQL_TEXT(sql_positions, "001_positions.sql");

const struct sql_file sql_files[] = {
    {1, "positions", sql_positions},
};
const size_t sql_file_count = array_len(sql_files);
