# cmake -DOUT=web_files.c "-DFILES=a.html;b.json" -P EmbedFiles.cmake
#
# Writes the files into a C source as the table that inference/web_files.h declares.
set(types
  html "text/html\; charset=utf-8" css "text/css\; charset=utf-8" js "text/javascript\; charset=utf-8"
  json "application/json" svg "image/svg+xml" png "image/png" ico "image/x-icon" woff2 "font/woff2" txt "text/plain\; charset=utf-8")
set(arrays "")
set(rows "")
set(number 0)
foreach(file ${FILES})
  get_filename_component(name ${file} NAME)
  string(REGEX MATCH "[^.]*$" ending ${name})
  list(FIND types ${ending} at)
  if(at EQUAL -1)
    message(FATAL_ERROR "${file}: no media type for .${ending} in EmbedFiles.cmake")
  endif()
  math(EXPR at "${at} + 1")
  list(GET types ${at} type)
  set(path "/${name}")
  if(name STREQUAL "index.html")
    set(path "/")
  endif()
  file(READ ${file} bytes HEX)
  string(LENGTH "${bytes}" digits)
  math(EXPR size "${digits} / 2")
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(APPEND arrays "static const unsigned char file_${number}[] = {${bytes}0};\n")
  string(APPEND rows "\t{\"${path}\", \"${type}\", file_${number}, ${size}},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE ${OUT} "/* Written by cmake/EmbedFiles.cmake. */\n#include \"inference/web_files.h\"\n\n${arrays}\n"
  "const struct web_file web_files[] = {\n${rows}};\nconst size_t web_file_count = ${number};\n")
