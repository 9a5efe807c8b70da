import { useId } from "preact/hooks";

import { strings } from "../../strings";

export interface DialProps {
  label: string;
  /** What it does, in a few words. */
  hint: string;
  /** undefined: the submission's default holds. */
  value: number | undefined;
  preset: number | undefined;
  min: number;
  max: number;
  step: number;
  onChange: (value: number | undefined) => void;
}

/** A number between two others that has a default to go back to. */
export function Dial({ label, hint, value, preset, min, max, step, onChange }: DialProps) {
  const id = useId();
  const t = strings.value.playground;
  const shown = value ?? preset;
  return (
    <div class="dial">
      <label for={id}>{label}</label>
      <button type="button" class="reset" hidden={value === undefined} onClick={() => onChange(undefined)}>
        {t.reset}
        <span class="unseen"> {label}</span>
      </button>
      <span class="value figures">{shown ?? "–"}</span>
      <input
        id={id}
        type="range"
        aria-describedby={`${id}-hint`}
        disabled={shown === undefined}
        min={min}
        max={max}
        step={step}
        value={shown ?? min}
        onInput={(event) => onChange(Number(event.currentTarget.value))}
      />
      <p id={`${id}-hint`} class="note">
        {hint}
      </p>
    </div>
  );
}
