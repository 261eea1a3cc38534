# cmake -DFILE=page.html -DOUT=page.c -DNAME=page_html -P EmbedText.cmake
#
# Writes the file into a C source as `const char NAME[]`, zero-terminated, and `const size_t NAME_size`.
file(READ ${FILE} bytes HEX)
string(LENGTH "${bytes}" digits)
math(EXPR size "${digits} / 2")
# Each byte is a literal of its own, so that no escape takes in what follows.
string(REGEX REPLACE "(..)" "\\\\x\\1\"\"" bytes "${bytes}")
file(WRITE ${OUT} "/* Written by cmake/EmbedText.cmake. */\n#include <stddef.h>\n"
  "extern const char ${NAME}[];\nextern const size_t ${NAME}_size;\n"
  "const char ${NAME}[] = \"${bytes}\";\nconst size_t ${NAME}_size = ${size};\n")
