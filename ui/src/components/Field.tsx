import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

interface Described {
  id: string;
  "aria-describedby"?: string;
  "aria-invalid"?: boolean;
}

/** A label, what `children` makes of the properties that tie it to them, a hint and what is wrong. */
export function Field({
  label,
  hint,
  error,
  children,
}: {
  label: string;
  hint?: ComponentChildren;
  error?: string | null;
  children: (described: Described) => ComponentChildren;
}) {
  const id = useId();
  const described: Described = { id };
  if (hint || error) described["aria-describedby"] = `${id}-note`;
  if (error) described["aria-invalid"] = true;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children(described)}
      {(hint || error) && (
        <p id={`${id}-note`} class={error ? "note wrong" : "note"}>
          {error ?? hint}
        </p>
      )}
    </div>
  );
}
