import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import { Field } from "../../components/Field";
import { strings } from "../../strings";
import { Dial } from "./Dial";
import type { Reading } from "./reading";
import type { Sampling } from "./speech";

/** What a listener may change. Everything left alone is the submission's. */
export interface Controls extends Sampling {
  speed?: number;
  /** Empty: another one each time. */
  seed: string;
}

const DIALS = [
  { name: "temperature", min: 0, max: 2, step: 0.05 },
  { name: "top_p", min: 0.05, max: 1, step: 0.05 },
  { name: "top_k", min: 0, max: 200, step: 1 },
  { name: "repetition_penalty", min: 0.5, max: 10, step: 0.05 },
  { name: "noise_scale", min: 0, max: 1, step: 0.05 },
] as const;

export const LARGEST_SEED = 2 ** 32 - 1;

export function SamplingCard({ controls, defaults, onChange }: { controls: Controls; defaults: Reading["sampling"] | undefined; onChange: (controls: Controls) => void }) {
  const t = strings.value.playground;
  const isChanged = Object.entries(controls).some(([name, value]) => value !== undefined && !(name === "seed" && value === ""));
  return (
    <Card
      title={t.controls}
      aside={
        <Button kind="quiet" disabled={!isChanged} onClick={() => onChange({ seed: "" })}>
          {t.resetAll}
        </Button>
      }
    >
      <Dial
        {...t.dials.speed}
        min={0.5}
        max={2}
        step={0.05}
        preset={1}
        value={controls.speed}
        onChange={(speed) => onChange({ ...controls, speed })}
      />
      {DIALS.filter(({ name }) => name !== "noise_scale" || defaults?.noise_scale).map(({ name, ...range }) => (
        <Dial
          key={name}
          {...t.dials[name]}
          {...range}
          preset={defaults && Number(defaults[name].toPrecision(4))}
          value={controls[name]}
          onChange={(value) => onChange({ ...controls, [name]: value })}
        />
      ))}
      <Field label={t.seed.label} hint={t.seed.hint}>
        {(described) => (
          <input
            {...described}
            class="figures"
            type="number"
            min={0}
            max={LARGEST_SEED}
            step={1}
            placeholder={t.seed.drawn}
            value={controls.seed}
            onInput={(event) => onChange({ ...controls, seed: event.currentTarget.value })}
          />
        )}
      </Field>
    </Card>
  );
}
