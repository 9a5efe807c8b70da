import { strings } from "../../strings";

export const STEPS = ["choose", "send", "read", "listen"] as const;

/** Where the contribution is on its way. */
export function Steps({ current }: { current: number }) {
  const t = strings.value.contribute.steps;
  return (
    <ol class="steps">
      {STEPS.map((step, number) => (
        <li key={step} class={number < current ? "done" : undefined} aria-current={number === current ? "step" : undefined}>
          <span class="step-mark" aria-hidden="true">
            {number < current ? "✓" : number + 1}
          </span>
          <span class="step-label">{t[step]}</span>
        </li>
      ))}
    </ol>
  );
}
