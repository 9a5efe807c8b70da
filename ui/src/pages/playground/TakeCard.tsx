import { useEffect, useState } from "preact/hooks";
import type WaveSurfer from "wavesurfer.js";

import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import { ErrorNote } from "../../components/ErrorNote";
import { strings } from "../../strings";
import { encoded, FORMATS, type Format } from "./speech";
import { StreamPlayer } from "./StreamPlayer";
import type { Progress, Take } from "./takes";
import { Wave } from "./Wave";

/** What was spoken last, or chosen from the history: heard, seen, measured, taken home. */
export function TakeCard({ take }: { take: Take | null }) {
  const t = strings.value.playground.take;
  const [wave, setWave] = useState<WaveSurfer | null>(null);
  const progress = take?.progress.value;
  return (
    <Card title={t.title} aside={<PhaseTag progress={progress} />}>
      <div class="take-picture">
        {take ? <Wave key={take.id} take={take} onReady={setWave} /> : <p class="muted">{t.nothingYet}</p>}
      </div>
      {take && !StreamPlayer.isPossible && <p class="note">{t.insecure}</p>}
      <div class="take-bar">
        <PlayButton take={take} wave={wave} />
        <Figures progress={progress} />
      </div>
      <ErrorNote error={progress?.error} />
      {take && progress!.arrivedS > 0 && progress!.phase !== "speaking" && <Download key={take.id} take={take} />}
    </Card>
  );
}

function PhaseTag({ progress }: { progress: Progress | undefined }) {
  const kinds = { speaking: "warn", sounding: "good", whole: "good", failed: "bad", stopped: "" } as const;
  return (
    <span role="status" class={progress ? `tag ${kinds[progress.phase]}` : "unseen"}>
      {progress && strings.value.playground.take.phases[progress.phase]}
    </span>
  );
}

/** While a take is live it pauses the stream; afterwards it plays the whole. */
function PlayButton({ take, wave }: { take: Take | null; wave: WaveSurfer | null }) {
  const t = strings.value.playground.take;
  const [isPlaying, setPlaying] = useState(true);
  const live = take?.player.value ?? null;
  useEffect(() => {
    setPlaying(live !== null);
    if (wave === null) return;
    const ends = [wave.on("play", () => setPlaying(true)), wave.on("pause", () => setPlaying(false))];
    return () => ends.forEach((end) => end());
  }, [wave, live]);
  const toggle = async () => {
    if (live === null) return wave?.playPause();
    await live.toggle();
    setPlaying(!live.isPaused);
  };
  return (
    <span class="row">
      <Button onClick={toggle} disabled={live === null && wave === null} class="play">
        {isPlaying && live !== null ? t.pause : wave?.isPlaying() ? t.pause : t.play}
      </Button>
      {live && (
        <Button kind="quiet" onClick={take!.stop}>
          {t.stop}
        </Button>
      )}
    </span>
  );
}

function Figures({ progress }: { progress: Progress | undefined }) {
  const t = strings.value.playground.take;
  const isHere = progress !== undefined && progress.arrivedS > 0;
  const isComplete = isHere && progress.phase !== "speaking";
  const rows: [string, string][] = [
    [t.firstAudio, isHere ? `${Math.round(progress.firstAudioMs!)} ms` : "–"],
    [t.rtf, isComplete ? (progress.elapsedMs / 1000 / progress.arrivedS).toFixed(2) : "–"],
    [t.played, isHere ? `${progress.playedS.toFixed(1)} s` : "–"],
    [t.length, isHere ? `${progress.arrivedS.toFixed(1)} s` : "–"],
    [t.stalls, isHere ? String(progress.numStalls) : "–"],
  ];
  return (
    <dl class="take-figures">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd class="figures">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Download({ take }: { take: Take }) {
  const t = strings.value.playground.take;
  const [format, setFormat] = useState<Format>("wav");
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const download = async () => {
    setBusy(true);
    setError(null);
    try {
      // What was heard is already here as samples; another format is spoken again, the same by its seed.
      save(format === "wav" ? take.file() : await encoded(take.wish, format), `${take.wish.model}-${take.wish.seed}.${FORMATS[format]}`);
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return (
    <div class="stack">
      <div class="row">
        <label class="inline">
          {t.format}
          <select value={format} onChange={(event) => setFormat(event.currentTarget.value as Format)}>
            {Object.keys(FORMATS).map((name) => (
              <option value={name}>{name}</option>
            ))}
          </select>
        </label>
        <Button onClick={download} isBusy={isBusy}>
          {t.download}
        </Button>
        <span class="note figures">{t.seed(take.wish.seed)}</span>
      </div>
      <ErrorNote error={error} />
    </div>
  );
}

function save(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
