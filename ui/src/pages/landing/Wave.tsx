const NUM_BARS = 150;
const WIDTH = 1500;
const HEIGHT = 120;

/** A sentence as a waveform: three words, each a swell of syllables. Drawn, not recorded. */
export function Wave() {
  return (
    <svg class="wave" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="xMidYMid slice" aria-hidden="true">
      <path d={Array.from({ length: NUM_BARS }, (_, bar) => stroke(bar)).join("")} />
    </svg>
  );
}

function stroke(bar: number): string {
  const place = bar / NUM_BARS;
  const word = Math.abs(Math.sin(place * Math.PI * 3)) ** 0.7;
  const syllable = 0.55 + 0.45 * Math.sin(place * 71);
  const grain = 0.7 + 0.3 * Math.sin(bar * 2.4);
  const half = Math.max(1, (HEIGHT / 2 - 6) * word * syllable * grain);
  const x = ((bar + 0.5) * WIDTH) / NUM_BARS;
  return `M${x} ${(HEIGHT / 2 - half).toFixed(1)}v${(2 * half).toFixed(1)}`;
}
