# Writes a header that names the sources that the addon is made of: cmake -DSOURCES=<folder> -DHEADER=<file> -P fingerprint.cmake
# native/load.ts computes the same of what lies in the checkout.
file(GLOB_RECURSE files LIST_DIRECTORIES false RELATIVE ${SOURCES} ${SOURCES}/*)
list(SORT files)
set(lines "")
foreach(file IN LISTS files)
  file(SHA256 ${SOURCES}/${file} digest)
  string(APPEND lines "${digest} ${file}\n")
endforeach()
string(SHA256 digest "${lines}")
string(SUBSTRING ${digest} 0 12 digest)
file(WRITE ${HEADER} "#pragma once\n#define LEPTON_SOURCES \"${digest}\"\n")
