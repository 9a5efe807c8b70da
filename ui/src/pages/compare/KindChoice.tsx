import { useId } from "preact/hooks";

import type { Kind } from "../../listening";
import { strings } from "../../strings";

const KINDS: readonly Kind[] = ["preference", "abx", "mos"];

/** What raters are asked. */
export function KindChoice({ kind, onChange }: { kind: Kind; onChange: (kind: Kind) => void }) {
  const t = strings.value.compare;
  const group = useId();
  return (
    <fieldset class="kinds">
      <legend>{t.form.kind}</legend>
      {KINDS.map((choice) => (
        <label key={choice} class="kind">
          <input type="radio" name={group} value={choice} checked={kind === choice} onChange={() => onChange(choice)} />
          <span>
            <b>{t.kinds[choice].name}</b>
            <span class="note">{t.kinds[choice].purpose}</span>
          </span>
        </label>
      ))}
    </fieldset>
  );
}
