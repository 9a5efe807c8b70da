import type { ComponentChildren } from "preact";

/** A part of a page on a surface of its own. */
export function Card({ title, aside, children }: { title?: string; aside?: ComponentChildren; children: ComponentChildren }) {
  return (
    <section class="card">
      {(title || aside) && (
        <div class="card-head">
          {title && <h2>{title}</h2>}
          {aside}
        </div>
      )}
      {children}
    </section>
  );
}
