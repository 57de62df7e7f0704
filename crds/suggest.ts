// Which word did the writer mean? Pure: a word and the words that would have been right.

/** The nearest of `known` within a third of the word's length (at least 2 slips), or undefined. */
export function suggest(word: string, known: readonly string[]): string | undefined {
  const limit = Math.max(2, Math.floor(word.length / 3));
  const ranked = known
    .map((candidate) => ({ candidate, slips: slips(word.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ slips }) => slips <= limit && slips < word.length)
    .sort((a, b) => a.slips - b.slips);
  return ranked[0]?.candidate;
}

/** Damerau-Levenshtein distance with adjacent exchanges (optimal string alignment). */
function slips(a: string, b: string): number {
  const distance: number[][] = Array.from({ length: a.length + 1 }, (_, i) => [i]);
  const at = (i: number, j: number) => distance[i]?.[j] ?? j;
  for (let i = 0; i <= a.length; i++) {
    for (let j = i === 0 ? 0 : 1; j <= b.length; j++) {
      if (i === 0) {
        distance[0]![j] = j;
        continue;
      }
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, at(i - 2, j - 2) + 1);
      distance[i]![j] = best;
    }
  }
  return at(a.length, b.length);
}
