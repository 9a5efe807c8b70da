import { useEffect, useRef } from "preact/hooks";

import type { Kind, Side, Vote } from "../../listening";
import { strings } from "../../strings";

/** Who it was, once the vote is stored. */
export function Revealed({ kind, vote, onNext, isLast }: { kind: Kind; vote: Vote; onNext: () => void; isLast: boolean }) {
  const t = strings.value.compare;
  const next = useRef<HTMLButtonElement>(null);
  // The button that had the focus is gone.
  useEffect(() => next.current?.focus({ preventScroll: true }), []);
  const names = Object.entries(vote.names ?? {}) as [Side, string][];
  return (
    <div class="revealed" role="status">
      <p class="note">{kind === "mos" ? t.youRated(vote.answer) : t.youChose(t.kinds[kind].answers[vote.answer as "a"])}</p>
      <dl class="names">
        {names.map(([side, name]) => (
          <div key={side} class={`name side-${side} ${side === vote.answer ? "chosen" : ""}`}>
            <dt>{side.toUpperCase()}</dt>
            <dd>{name}</dd>
          </div>
        ))}
      </dl>
      <button ref={next} type="button" class="button primary" onClick={onNext}>
        {isLast ? t.finish : t.next}
      </button>
    </div>
  );
}
