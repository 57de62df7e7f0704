// LEPTON_CLONES before a function: compiled for AVX-512, AVX2 and any x86-64, the best chosen when the
// library loads. The loops under it keep one order of additions and no contraction, so all three give the
// same bits.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(LEPTON_NO_CLONES)
#define LEPTON_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define LEPTON_CLONES
#endif
