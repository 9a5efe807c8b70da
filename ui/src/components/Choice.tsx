import type { Signal } from "@preact/signals";
import { useId } from "preact/hooks";

/** A few choices side by side, one of which holds; arrow keys move between them. */
export function Choice<Name extends string>({
  label,
  names,
  choices,
  chosen,
}: {
  label: string;
  names: Readonly<Record<Name, string>>;
  choices: readonly Name[];
  chosen: Signal<Name>;
}) {
  const group = useId();
  return (
    <fieldset class="choice">
      <legend>{label}</legend>
      {choices.map((choice) => (
        <label>
          <input type="radio" name={group} checked={chosen.value === choice} onChange={() => (chosen.value = choice)} />
          <span>{names[choice]}</span>
        </label>
      ))}
    </fieldset>
  );
}
