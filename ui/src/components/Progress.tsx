import type { ComponentChildren } from "preact";

/** How far something has come. `done` and `total` in any unit; `total` null: nobody knows. */
export function Progress({ label, done, total, children }: { label: string; done: number; total: number | null; children?: ComponentChildren }) {
  return (
    <div class="progress">
      <div class="progress-head">
        <span>{label}</span>
        <span class="figures">{children}</span>
      </div>
      {total === null ? <progress aria-label={label} /> : <progress aria-label={label} value={done} max={total || 1} />}
    </div>
  );
}
