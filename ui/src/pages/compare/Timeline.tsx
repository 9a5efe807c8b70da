import { Button } from "../../components/Button";
import { strings } from "../../strings";
import type { Player } from "./player";

/** Where the sound is, on all sides at once. */
export function Timeline({ player, isReady }: { player: Player; isReady: boolean }) {
  const t = strings.value.compare;
  const longest_s = isReady ? player.longest_s : 0;
  return (
    <div class="timeline">
      <Button class="toggle" disabled={!isReady} onClick={() => void player.toggle()} aria-label={player.isPlaying.value ? t.pause : t.play}>
        <svg class="side-icon" viewBox="0 0 24 24" aria-hidden="true">
          {player.isPlaying.value ? <path d="M8 5v14M16 5v14" /> : <path class="solid" d="M8 5.5v13l10.5-6.5z" />}
        </svg>
      </Button>
      <input
        type="range"
        aria-label={t.position}
        min={0}
        max={longest_s || 1}
        step={0.05}
        disabled={!isReady}
        value={player.position_s.value}
        onInput={(event) => player.seek(event.currentTarget.valueAsNumber)}
      />
      <span class="figures small muted">
        {player.position_s.value.toFixed(1)} / {longest_s.toFixed(1)} s
      </span>
    </div>
  );
}
