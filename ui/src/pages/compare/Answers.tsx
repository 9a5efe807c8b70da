import type { Signal } from "@preact/signals";
import { useId } from "preact/hooks";

import type { Kind } from "../../listening";
import { strings } from "../../strings";

const ORDER = ["a", "tie", "b"];

/** As they stand side by side, and as number keys choose them. */
export function inOrder(answers: readonly string[]): readonly string[] {
  return [...answers].sort((one, other) => ORDER.indexOf(one) - ORDER.indexOf(other));
}

export function Answers({ kind, answers, chosen }: { kind: Kind; answers: readonly string[]; chosen: Signal<string | null> }) {
  const t = strings.value.compare;
  const group = useId();
  const words: Record<string, string> = t.kinds[kind].answers;
  return (
    <fieldset class={`answers ${kind}`}>
      <legend class="unseen">{t.kinds[kind].question}</legend>
      {answers.map((answer) => (
        <label key={answer} class={`answer answer-${answer}`}>
          <input type="radio" name={group} value={answer} checked={chosen.value === answer} onChange={() => (chosen.value = answer)} />
          <span>
            {kind === "mos" && <b class="figures">{answer}</b>} {words[answer]}
          </span>
        </label>
      ))}
    </fieldset>
  );
}
