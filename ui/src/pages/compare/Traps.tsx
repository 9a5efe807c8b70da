import { Button } from "../../components/Button";
import { Field } from "../../components/Field";
import { strings } from "../../strings";
import type { Trap } from "./draft";

/** Clips that tell the rater what to answer: who answers otherwise wasn't listening. */
export function Traps({ traps, onChange }: { traps: readonly Trap[]; onChange: (traps: readonly Trap[]) => void }) {
  const t = strings.value.compare.form;
  const change = (index: number, changes: Partial<Trap>) => onChange(traps.map((trap, at) => (at === index ? { ...trap, ...changes } : trap)));
  return (
    <div class="stack tight">
      <h3>{t.traps}</h3>
      <p class="note">{t.trapsHint}</p>
      {traps.map((trap, index) => (
        <div class="trap" key={index}>
          <Field label={t.trapText}>
            {(described) => <input {...described} required value={trap.text} onInput={(event) => change(index, { text: event.currentTarget.value })} />}
          </Field>
          <Field label={t.trapExpected}>
            {(described) => (
              <select {...described} value={trap.expected} onChange={(event) => change(index, { expected: Number(event.currentTarget.value) })}>
                {[1, 2, 3, 4, 5].map((rating) => (
                  <option key={rating} value={rating}>
                    {rating}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <Button kind="quiet" onClick={() => onChange(traps.filter((_, at) => at !== index))}>
            {t.removeTrap}
          </Button>
        </div>
      ))}
      <div class="row">
        <Button onClick={() => onChange([...traps, { text: "", expected: (traps.length % 5) + 1 }])}>{t.addTrap}</Button>
      </div>
    </div>
  );
}
