import { useEffect, useRef, useState } from "preact/hooks";
import WaveSurfer from "wavesurfer.js";
import Regions from "wavesurfer.js/dist/plugins/regions.js";
import Spectrogram from "wavesurfer.js/dist/plugins/spectrogram.js";

import { Button } from "../../components/Button";
import { theme } from "../../preferences";
import { strings } from "../../strings";
import { tokenColor } from "../../tokenColor";
import type { LookedAt, Moment } from "./looking";

export interface Player {
  /** From there to there, in seconds. */
  play: (start: number, end: number) => void;
}

const WAVE_HEIGHT_PX = 88;
const SPECTROGRAM_HEIGHT_PX = 150;
const DRAWN_RATE_HZ = 24_000; // of the spectrogram, which shows half of it
const LONGEST_DECODED_S = 600; // a browser decodes the whole recording into memory
const SHADES = 256;

/** Waveform and spectrogram, with the moments that findings are about; played from the reader's own file. */
export function Picture({
  recording,
  file,
  moments,
  onReady,
}: {
  recording: LookedAt;
  file: Blob | undefined;
  moments: readonly (Moment & { severity: "warning" | "refusal" })[];
  onReady: (player: Player | null) => void;
}) {
  const t = strings.value.voiceData;
  const container = useRef<HTMLDivElement>(null);
  const wave = useRef<WaveSurfer | null>(null);
  const [isPlaying, setPlaying] = useState(false);
  const [canPlay, setCanPlay] = useState(false);
  const colors = theme.value;
  const durationS = Number(recording.measurements.duration_s ?? 0);
  useEffect(() => {
    const isDecoded = file !== undefined && durationS <= LONGEST_DECODED_S;
    const drawn = draw(container.current!, isDecoded);
    const { surfer } = drawn;
    wave.current = surfer;
    surfer.on("play", () => setPlaying(true));
    surfer.on("pause", () => setPlaying(false));
    surfer.on("ready", () => {
      for (const { start_s: start, end_s: end, severity } of moments) {
        const color = tokenColor(severity === "refusal" ? "--bad" : "--warn").replace(/^rgb\((.*)\)$/, "rgba($1, 0.28)");
        drawn.regions.addRegion({ start, end, color, drag: false, resize: false });
      }
      if (!file) return;
      setCanPlay(true);
      onReady({ play: (start, end) => void surfer.play(start, end) });
    });
    const peaks = [Float32Array.from(recording.waveform)];
    // What the browser can't decode, such as A-law, is drawn from what the server saw of it.
    const whole = () => (file ? surfer.loadBlob(file, peaks, durationS) : surfer.load("", peaks, durationS));
    void (isDecoded ? surfer.loadBlob(file).catch(whole) : whole()).catch(() => undefined);
    return () => {
      onReady(null);
      surfer.destroy();
    };
  }, [recording, file, colors]);
  return (
    <div class="picture">
      <div ref={container} class="picture-wave" role="img" aria-label={t.picture(moments.length)} />
      <div class="row">
        <Button disabled={!canPlay} onClick={() => void wave.current?.playPause()}>
          {isPlaying ? t.pause : t.play}
        </Button>
        {!file && <span class="small muted">{t.inArchive}</span>}
      </div>
    </div>
  );
}

function draw(container: HTMLElement, withSpectrogram: boolean): { surfer: WaveSurfer; regions: ReturnType<typeof Regions.create> } {
  const regions = Regions.create();
  const spectrogram = () =>
    Spectrogram.create({
      height: SPECTROGRAM_HEIGHT_PX,
      fftSamples: 512,
      scale: "mel",
      frequencyMax: DRAWN_RATE_HZ / 2,
      labels: true,
      gainDB: 12,
      rangeDB: 70,
      labelsBackground: tokenColor("--paper"),
      labelsColor: tokenColor("--muted"),
      labelsHzColor: tokenColor("--muted"),
      colorMap: shades(tokenColor("--accent")),
    });
  const surfer = WaveSurfer.create({
    container,
    height: WAVE_HEIGHT_PX,
    waveColor: tokenColor("--edge"),
    progressColor: tokenColor("--accent"),
    cursorColor: tokenColor("--ink"),
    normalize: false,
    sampleRate: DRAWN_RATE_HZ,
    cspNonce: document.querySelector<HTMLMetaElement>("meta[property=csp-nonce]")!.nonce,
    plugins: withSpectrogram ? [regions, spectrogram()] : [regions],
  });
  return { surfer, regions };
}

/** From nothing to the colour itself, so that the surface shows where there is no sound. */
function shades(color: string): [number, number, number, number][] {
  const [red = 0, green = 0, blue = 0] = color.match(/\d+/g)!.map((part) => Number(part) / 255);
  return Array.from({ length: SHADES }, (_, i) => [red, green, blue, (i / (SHADES - 1)) ** 1.6]);
}
