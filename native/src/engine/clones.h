// One clone of a loop per x86-64 level, chosen when the library is loaded: wide registers without
// -march=native.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(LEPTON_NO_CLONES)
#define LEPTON_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define LEPTON_CLONES
#endif
