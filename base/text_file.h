/*
 * text_file: a source file that is text becomes a constant of the program.
 *
 * The assembler's .incbin takes it in: no generated source, no tool to build first, and gcc and clang
 * both know it. Paths are from the root of the repository, where the compiler runs. The compiler's own
 * dependency output does not see .incbin: each file needs its line in the Makefile.
 */
#ifndef BASE_TEXT_FILE_H
#define BASE_TEXT_FILE_H

/* Declares and defines symbol, a string that ends with NUL. */
#define TEXT_FILE(symbol, file)                          \
    __asm__(".pushsection .rodata\n"                     \
            ".global " #symbol "\n"                      \
            ".hidden " #symbol "\n"                      \
            ".type " #symbol ", %object\n" #symbol ":\n" \
            ".incbin \"" file "\"\n"                     \
            ".byte 0\n"                                  \
            ".size " #symbol ", . - " #symbol "\n"       \
            ".popsection\n");                            \
    extern const char symbol[] __attribute__((visibility("hidden")))

#endif
