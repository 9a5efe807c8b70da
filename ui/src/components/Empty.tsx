import type { ComponentChildren } from "preact";

/** Where there is nothing yet: why, and what to do about it. */
export function Empty({ children, action }: { children: ComponentChildren; action?: ComponentChildren }) {
  return (
    <div class="empty">
      <p>{children}</p>
      {action && <p>{action}</p>}
    </div>
  );
}
