# Compiler settings, dependencies, and the functions the rooms declare their targets with.

option(MARQUEE_TESTS "Build the tests" ON)
option(MARQUEE_WERROR "Treat warnings as errors" ON)
option(MARQUEE_FUZZ "Build the fuzz targets for libFuzzer (clang)" OFF)
set(MARQUEE_FAISS AUTO CACHE STRING "Indexes for approximate search, by FAISS: ON, OFF, or AUTO, where it is installed")
set(MARQUEE_SANITIZE "" CACHE STRING "Sanitizers for everything: 'address,undefined' or 'thread'")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
# C++ only behind C headers, for libraries that have no other interface.
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c>=1.4)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.13)
pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET libmicrohttpd>=0.9.75)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash>=0.8)
pkg_check_modules(OPENBLAS REQUIRED IMPORTED_TARGET openblas>=0.3.20)
pkg_check_modules(SLEEF REQUIRED IMPORTED_TARGET sleef>=3.5)
pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal>=2.30)
pkg_check_modules(MPICH REQUIRED IMPORTED_TARGET mpich>=4)
find_path(NNG_INCLUDE_DIR nng/nng.h REQUIRED)
find_library(NNG_LIBRARY nng REQUIRED)
add_library(marquee_nng INTERFACE)
target_include_directories(marquee_nng SYSTEM INTERFACE ${NNG_INCLUDE_DIR})
target_link_libraries(marquee_nng INTERFACE ${NNG_LIBRARY} Threads::Threads)
# Debian has it as a static library; it was built with gcc's OpenMP. C++ is needed for nothing else.
if(NOT MARQUEE_FAISS STREQUAL "OFF")
  find_path(FAISS_INCLUDE_DIR faiss/IndexFlat.h)
  find_library(FAISS_LIBRARY faiss)
  if(FAISS_INCLUDE_DIR AND FAISS_LIBRARY)
    enable_language(CXX)
    add_library(marquee_faiss INTERFACE)
    target_include_directories(marquee_faiss SYSTEM INTERFACE ${FAISS_INCLUDE_DIR})
    target_link_libraries(marquee_faiss INTERFACE ${FAISS_LIBRARY} PkgConfig::OPENBLAS gomp Threads::Threads)
  elseif(MARQUEE_FAISS STREQUAL "AUTO")
    message(STATUS "FAISS is not here (Debian: libfaiss-dev): built without indexes for approximate search")
  else()
    message(FATAL_ERROR "MARQUEE_FAISS=${MARQUEE_FAISS}: FAISS is not here. Install it (Debian: libfaiss-dev), or say OFF")
  endif()
endif()

add_library(marquee_flags INTERFACE)
# -Wno-maybe-uninitialized: with -O3 GCC takes the way on which a call fails with STATUS_OK for possible; clang's
# check of the same stays on.
# -ffp-contract=off: a*b+c must round the same in a vector body, its scalar tail and on every compiler.
target_compile_options(marquee_flags INTERFACE
  -Wall -Wextra -Wconversion -Wshadow $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes;-Wmissing-prototypes> -Wvla
  -ffp-contract=off -fno-math-errno -fno-common
  $<$<COMPILE_LANG_AND_ID:C,GNU>:-Wno-maybe-uninitialized>
  $<$<BOOL:${MARQUEE_WERROR}>:-Werror>)
target_compile_definitions(marquee_flags INTERFACE _GNU_SOURCE)
if(MARQUEE_SANITIZE)
  target_compile_options(marquee_flags INTERFACE -fsanitize=${MARQUEE_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(marquee_flags INTERFACE -fsanitize=${MARQUEE_SANITIZE})
endif()

if(MARQUEE_FUZZ)
  target_compile_options(marquee_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# marquee_library(NAME SOURCES ... [PUBLIC libs...] [PRIVATE libs...])
#
# A room's library. Headers are included by their path in the tree ("common/base/status.h"), but only
# from the rooms that a target links: each library exports a folder of links to its own headers, so
# an include that the layers do not allow does not compile.
function(marquee_library name)
  cmake_parse_arguments(ARG "" "ROOM" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  marquee_export_headers(${name} ${ARG_ROOM})
  target_link_libraries(${name} PUBLIC ${ARG_PUBLIC} PRIVATE marquee_flags ${ARG_PRIVATE})
endfunction()

# Gives target NAME the include path under which "ROOM/..." alone is found.
function(marquee_export_headers name room)
  set(root ${CMAKE_BINARY_DIR}/include/${name})
  get_filename_component(parent ${root}/${room} DIRECTORY)
  file(MAKE_DIRECTORY ${parent})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${room} ${root}/${room} SYMBOLIC)
  target_include_directories(${name} PUBLIC ${root})
endfunction()

# marquee_program(NAME SOURCES ... LIBRARIES ...)
function(marquee_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE marquee_flags ${ARG_LIBRARIES})
endfunction()
