import type { ButtonHTMLAttributes } from "preact";

export interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  /** primary: the one thing to do here; quiet: beside others; danger: takes something away. */
  kind?: "primary" | "secondary" | "quiet" | "danger";
  /** Something is under way: it can't be pressed and says so. */
  isBusy?: boolean;
}

export function Button({ kind = "secondary", isBusy = false, disabled, children, ...rest }: ButtonProps) {
  return (
    <button type="button" {...rest} class={`button ${kind} ${rest.class ?? ""}`} disabled={disabled || isBusy} aria-busy={isBusy}>
      {children}
    </button>
  );
}
