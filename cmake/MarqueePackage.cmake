# What `cmake --install` puts where, and the Debian package that `cpack` makes of it in the build directory.
install(TARGETS marquee pserver worker)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
# bash looks for completions by the command's name.
foreach(program marquee pserver worker)
  install(FILES launcher/marquee.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME ${program})
endforeach()
# Manual pages, from what the programs say of themselves: sanitizers' programs need not start in a build.
if(NOT MARQUEE_SANITIZE)
  file(GLOB man_parts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/man/*)
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/man/marquee.1
    COMMAND ${CMAKE_SOURCE_DIR}/docs/man/make ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${CMAKE_BINARY_DIR}/man
    DEPENDS marquee pserver worker ${man_parts} VERBATIM)
  add_custom_target(man_pages ALL DEPENDS ${CMAKE_BINARY_DIR}/man/marquee.1)
  install(DIRECTORY ${CMAKE_BINARY_DIR}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
configure_file(cluster/pserver.service.in pserver.service @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/pserver.service DESTINATION lib/systemd/system)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "The Marquee authors <marquee@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
# Depends are those of the libraries that the files are linked with; mpirun is for `marquee launch` and `worker` alone.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_BINARY_DIR}/lib)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS mpich)
include(CPack)
