import { useEffect, useRef } from "preact/hooks";
import WaveSurfer from "wavesurfer.js";
import Spectrogram from "wavesurfer.js/dist/plugins/spectrogram.js";

import { theme } from "../../preferences";
import { tokenColor } from "../../tokenColor";
import type { Take } from "./takes";

const WAVE_HEIGHT_PX = 96;
const SPECTROGRAM_HEIGHT_PX = 144;
const SHADES = 256;
const REDRAW_MS = 120;

/** The waveform of a take: growing while it is spoken, then with its spectrogram, to click into and play. */
export function Wave({ take, onReady }: { take: Take; onReady: (player: WaveSurfer | null) => void }) {
  const container = useRef<HTMLDivElement>(null);
  const { phase } = take.progress.value;
  const isLive = phase === "speaking" || phase === "sounding";
  const colors = theme.value;
  useEffect(() => {
    const wave = create(container.current!, take, !isLive);
    const stop = isLive ? follow(wave, take) : undefined;
    if (!isLive && take.peaks.length) {
      void wave.loadBlob(take.file()).then(() => onReady(wave));
    }
    return () => {
      stop?.();
      onReady(null);
      wave.destroy();
    };
  }, [take, isLive, colors]);
  return <div ref={container} class="take-wave" />;
}

function create(container: HTMLElement, take: Take, withSpectrogram: boolean): WaveSurfer {
  const accent = tokenColor("--accent");
  return WaveSurfer.create({
    container,
    height: WAVE_HEIGHT_PX,
    waveColor: tokenColor("--edge"),
    progressColor: accent,
    cursorColor: tokenColor("--ink"),
    barWidth: 2,
    barGap: 1,
    barRadius: 2,
    normalize: false,
    interact: withSpectrogram,
    sampleRate: take.wish.sample_rate,
    cspNonce: document.querySelector<HTMLMetaElement>("meta[property=csp-nonce]")!.nonce,
    plugins: withSpectrogram
      ? [
          Spectrogram.create({
            height: SPECTROGRAM_HEIGHT_PX,
            fftSamples: 512,
            scale: "mel",
            frequencyMax: take.wish.sample_rate / 2,
            labels: true,
            gainDB: 12,
            rangeDB: 70,
            // Legible, and the sound behind them still to be seen.
            labelsBackground: tokenColor("--paper").replace(")", ", 0.5)").replace("rgb(", "rgba("),
            labelsColor: tokenColor("--muted"),
            labelsHzColor: tokenColor("--muted"),
            colorMap: shades(accent),
          }),
        ]
      : [],
  });
}

/** Draws what has arrived, and how much of it was heard. Returns how to stop. */
function follow(wave: WaveSurfer, take: Take): () => void {
  const timer = setInterval(async () => {
    const { arrivedS, playedS } = take.progress.value;
    if (!arrivedS) return;
    await wave.load("", [take.peaks], arrivedS);
    wave.getRenderer().renderProgress(Math.min(1, playedS / arrivedS));
  }, REDRAW_MS);
  return () => clearInterval(timer);
}

/** From nothing to the colour itself, so that the surface shows where there is no sound. */
function shades(color: string): [number, number, number, number][] {
  const [red = 0, green = 0, blue = 0] = color.match(/\d+/g)!.map((part) => Number(part) / 255);
  return Array.from({ length: SHADES }, (_, i) => [red, green, blue, (i / (SHADES - 1)) ** 1.6]);
}
