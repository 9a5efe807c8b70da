import type { Side } from "../../listening";
import { strings } from "../../strings";
import type { Player } from "./player";

interface SideButtonProps {
  player: Player;
  isReady: boolean;
  side: Side;
  must_hear_s: number;
}

/** Plays a side, from where the sound is; pressed while it plays it pauses. Shows how much of it was heard. */
export function SideButton({ player, isReady, side, must_hear_s }: SideButtonProps) {
  const t = strings.value.compare;
  const name = side.toUpperCase();
  const isChosen = player.side.value === side;
  const isAudible = isChosen && player.isPlaying.value;
  const missing_s = player.missing_s({ side, must_hear_s });
  return (
    <button
      type="button"
      class={`side side-${side} ${isAudible ? "audible" : ""}`}
      aria-label={isAudible ? t.pauseSide(name) : t.playSide(name)}
      disabled={!isReady}
      onClick={() => (isAudible ? player.pause() : void player.listenTo(side))}
    >
      <span class="side-name">{name}</span>
      <svg class="side-icon" viewBox="0 0 24 24" aria-hidden="true">
        {isAudible ? <path d="M8 5v14M16 5v14" /> : <path class="solid" d="M8 5.5v13l10.5-6.5z" />}
      </svg>
      <span class="side-heard" aria-hidden="true">
        <span style={{ width: `${100 * (1 - missing_s / (must_hear_s || 1))}%` }} />
      </span>
      <span class="side-note figures">{!isReady ? strings.value.common.loading : missing_s > 0 ? t.toHear(Math.max(0.1, missing_s)) : t.heardEnough}</span>
    </button>
  );
}
